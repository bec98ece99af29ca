"""The file of a predictor: a zip of LightGBM text models and a card, with nothing executable."""

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
from nngpt.prediction.predictor_training import TrainedPredictor

FORMAT = 1
_HINT = "Train it again: nngpt predictor train"
_SCALES = ("accuracy", "stop")
_DAMAGES = (OSError, zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError)


def write(trained: TrainedPredictor, path: Path) -> None:
    """Write a predictor to a file, atomically."""
    experts = {"familiar": trained.familiar, "strange": trained.strange}
    index: dict[str, Any] = {
        "format": FORMAT,
        "features": features.STATIC,
        "card": trained.card,
        "places": trained.places,
        "transforms": trained.transforms,
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
    """A predictor read from its file; experts are loaded on demand.

    Attributes:
        path: path of the file.
        card: facts about the training: version, date, hash of the data, settings.
        places: names of the places; the position is the number of the place.
        transforms: features of each transform in the training data, by name.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading = threading.Lock()
        try:
            # Read all of it now: the file may be replaced while it is in use.
            self._bytes = io.BytesIO(path.read_bytes())
            with zipfile.ZipFile(self._bytes) as file:
                index = json.loads(file.read("predictor.json"))
        except FileNotFoundError:
            raise UserError(
                "there is no predictor", where=str(path), hint="Train one: nngpt predictor train"
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
        """Return the numbers of epochs with an expert of a kind, `familiar` or `strange`."""
        return sorted(map(int, self._factors[kind]))

    def expert(self, kind: str, epochs: int) -> Expert:
        """Load an expert. Raises: UserError if the file is damaged."""
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
        return UserError(
            f"is not a predictor, or is damaged ({error})", where=str(self.path), hint=_HINT
        )


def _factors(scale: Scale) -> list[float | None]:
    """Return factor and ceiling; None for an infinite one, which comes from too few runs."""
    return [f if math.isfinite(f) else None for f in (scale.factor, scale.ceiling)]


def _number(factor: float | None) -> float:
    return math.inf if factor is None else factor


def _member(kind: str, epochs: int, name: str, part: str) -> str:
    return f"{kind}-{epochs}-{name}-{part}.txt"
