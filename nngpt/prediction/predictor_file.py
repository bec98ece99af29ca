"""The file of a predictor: its experts, and a card about its training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm

from nngpt.prediction import features
from nngpt.prediction.expert import Expert, Scale
from nngpt.prediction.model_file import ModelFile, write_models
from nngpt.prediction.predictor_training import TrainedPredictor

_INDEX = "predictor.json"
_VERSION = {"format": 1, "features": list(features.STATIC)}
_SCALES = ("accuracy", "stop")
_PARTS = ("value", "error")


def write(trained: TrainedPredictor, path: Path) -> None:
    """Write a predictor to a file, atomically."""
    experts = {"familiar": trained.familiar, "strange": trained.strange}
    index: dict[str, Any] = {
        **_VERSION,
        "card": trained.card,
        "places": trained.places,
        "transforms": trained.transforms,
        "factors": {
            kind: {e: {s: _factors(getattr(x, s)) for s in _SCALES} for e, x in found.items()}
            for kind, found in experts.items()
        },
    }
    write_models(path, _INDEX, index, _models(experts))


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
        keys = ("card", "places", "transforms", "factors")
        command = "nngpt predictor train"
        self._file = ModelFile(path, "predictor", command, _INDEX, _VERSION, keys)
        self.path, index = path, self._file.index
        self.card: dict[str, Any] = index["card"]
        self.places: list[str] = index["places"]
        self.transforms: dict[str, list[float]] = index["transforms"]
        self._factors: dict[str, dict[str, dict[str, list[float | None]]]] = index["factors"]

    def horizons(self, kind: str) -> list[int]:
        """Return the numbers of epochs with an expert of a kind, `familiar` or `strange`."""
        return sorted(map(int, self._factors[kind]))

    def expert(self, kind: str, epochs: int) -> Expert:
        """Load an expert. Raises: UserError if the file is damaged."""
        return Expert(epochs, *(self._scale(kind, epochs, name) for name in _SCALES))

    def _scale(self, kind: str, epochs: int, name: str) -> Scale:
        models = self._file.models(f"{kind}-{epochs}-{name}-{part}" for part in _PARTS)
        factors = self._factors[kind][str(epochs)][name]
        return Scale(*models, *(math.inf if f is None else f for f in factors))


def _models(experts: dict[str, dict[int, Expert]]) -> Iterator[tuple[str, lightgbm.Booster]]:
    """Yield the names and models of all experts."""
    for kind, found in experts.items():
        for epochs, expert in found.items():
            for name in _SCALES:
                for part in _PARTS:
                    yield f"{kind}-{epochs}-{name}-{part}", getattr(getattr(expert, name), part)


def _factors(scale: Scale) -> list[float | None]:
    """Return factor and ceiling; None for an infinite one, which comes from too few runs."""
    return [f if math.isfinite(f) else None for f in (scale.factor, scale.ceiling)]
