"""A predictor as one file: a zip of LightGBM's text models and a card, and nothing executable."""

from __future__ import annotations

import io
import json
import math
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

import lightgbm

from nngpt.errors import UserError
from nngpt.files import publish, scratch
from nngpt.prediction import features
from nngpt.prediction.expert import Expert, Scale
from nngpt.prediction.learned import Learned

FORMAT = 1
_HINT = "Make it anew: nngpt predictor train"
_SCALES = ("accuracy", "stop")
_DAMAGES = (OSError, zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError)


def write(learned: Learned, path: Path) -> None:
    """Write a predictor in one step: either the old file is there or the whole new one."""
    experts = {"familiar": learned.familiar, "strange": learned.strange}
    index: dict[str, Any] = {
        "format": FORMAT,
        "features": features.STATIC,
        "card": learned.card,
        "places": learned.places,
        "transforms": learned.transforms,
        "factors": {
            kind: {e: {s: _factors(getattr(x, s)) for s in _SCALES} for e, x in found.items()}
            for kind, found in experts.items()
        },
    }
    with scratch(path) as folder:
        draft = folder / path.name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("predictor.json", json.dumps(index))
            for kind, found in experts.items():
                for epochs, one in found.items():
                    for name in _SCALES:
                        scale: Scale = getattr(one, name)
                        for part in ("value", "error"):
                            text = getattr(scale, part).model_to_string()
                            file.writestr(_member(kind, epochs, name, part), text)
        publish(draft, path)


class PredictorFile:
    """A predictor's file; experts are read when they are wanted.

    Attributes:
        path: the file.
        card: what it was made from, when, and how.
        places: names of the places by number.
        transforms: features of each transform it knows, by name.

    Raises:
        UserError: there is no such file, or it is none of ours, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading = threading.Lock()
        try:
            # All of it now: the file may be replaced while we are at work.
            self._bytes = io.BytesIO(path.read_bytes())
            with zipfile.ZipFile(self._bytes) as file:
                index = json.loads(file.read("predictor.json"))
        except FileNotFoundError:
            raise UserError(
                "there is no predictor", where=str(path), hint="Make one: nngpt predictor train"
            ) from None
        except (*_DAMAGES, ValueError) as error:
            raise self._damaged(error) from None
        same = isinstance(index, dict) and index.get("format") == FORMAT
        if not same or index.get("features") != list(features.STATIC):
            raise UserError("is a predictor of another version", where=str(path), hint=_HINT)
        try:
            self.card: dict[str, Any] = index["card"]
            self.places: list[str] = index["places"]
            self.transforms: dict[str, list[float]] = index["transforms"]
            self._factors: dict[str, dict[str, dict[str, list[float | None]]]] = index["factors"]
        except KeyError as error:
            raise self._damaged(error) from None

    def horizons(self, kind: str) -> list[int]:
        """Epochs for which there are experts, `familiar` or `strange` ones."""
        return sorted(map(int, self._factors[kind]))

    def expert(self, kind: str, epochs: int) -> Expert:
        """One expert. Raises: UserError if the file is damaged."""
        scales = [self._scale(kind, epochs, name) for name in _SCALES]
        return Expert(epochs, *scales)

    def _scale(self, kind: str, epochs: int, name: str) -> Scale:
        try:
            with self._reading, zipfile.ZipFile(self._bytes) as file:
                texts = [
                    file.read(_member(kind, epochs, name, part)).decode()
                    for part in ("value", "error")
                ]
            value, error = (lightgbm.Booster(model_str=text) for text in texts)
        except (*_DAMAGES, UnicodeError, lightgbm.basic.LightGBMError) as problem:
            raise self._damaged(problem) from None
        factor, ceiling = self._factors[kind][str(epochs)][name]
        return Scale(value, error, _number(factor), _number(ceiling))

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"is no predictor, or damaged ({error})", where=str(self.path), hint=_HINT)


def _factors(scale: Scale) -> list[float | None]:
    """Factor and ceiling; None for one that is infinite, as too few runs were learned from."""
    return [f if math.isfinite(f) else None for f in (scale.factor, scale.ceiling)]


def _number(factor: float | None) -> float:
    return math.inf if factor is None else factor


def _member(kind: str, epochs: int, name: str, part: str) -> str:
    return f"{kind}-{epochs}-{name}-{part}.txt"
