"""The predictor and its default file: final accuracy and stopping epoch of one training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import BaseModel, Field

from nngpt.errors import UserError
from nngpt.files import cache_folder
from nngpt.prediction import features, targets
from nngpt.prediction.boosting import IntervalModel, PredictedRows
from nngpt.prediction.expert import Expert
from nngpt.prediction.model_file import Format, Index, ModelFile
from nngpt.prediction.places import Facts, Place, dataset_facts, is_known
from nngpt.prediction.runs import TrainingRun

ASSUMED: Mapping[str, float] = {"lr": 0.01, "momentum": 0.9, "batch": 64}
"""Values assumed for hyperparameters that are not given."""

_VERSION = {"format": 1, "features": list(features.STATIC)}
_WIDTH = len(features.TRANSFORM)
_Kind = Literal["familiar", "strange"]


class _Factors(BaseModel):
    """Factors of the interval and of the ceiling, for each target; None for infinite ones."""

    accuracy: tuple[float | None, float | None]
    stop: tuple[float | None, float | None]


class _Index(Index):
    """Index of a predictor's file; `factors` by kind of expert and number of known epochs."""

    places: list[str]
    transforms: dict[str, Annotated[list[float], Field(min_length=_WIDTH, max_length=_WIDTH)]]
    factors: dict[_Kind, dict[Annotated[int, Field(ge=0)], _Factors]]


FORMAT = Format("predictor", "nngpt predictor train", "predictor.json", _VERSION, _Index)
"""Format of the file that `predictor_training` writes."""


WIDEST = 0.9
"""Share of all possible values from which on an interval says nothing."""


def default_path() -> Path:
    """Return the path in the cache of the predictor that the user trains."""
    return cache_folder() / "predictor.zip"


@dataclass(frozen=True)
class PredictedValue:
    """A predicted value and the ends of its 90% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Prediction:
    """Predicted final accuracy and stopping epoch of one training.

    Attributes:
        accuracy: highest accuracy within 50 epochs, 0…1.
        stop: first epoch with an accuracy within one point of the highest.
        ceiling: accuracy that 5 of 1,000 such trainings exceed, 0…1.
        epochs: number of known epochs that were used.
        notes: assumptions and reasons for wide intervals, to report to the user.
    """

    accuracy: PredictedValue
    stop: PredictedValue
    ceiling: float
    epochs: int
    notes: tuple[str, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the values whose interval contains nearly everything that is possible."""
        spans = {"accuracy": 1.0, "stop": float(targets.EPOCHS - 1)}
        ends = {name: getattr(self, name) for name in spans}
        return tuple(n for n, end in ends.items() if end.high - end.low >= WIDEST * spans[n])


class Predictor:
    """Predicts trainings with the experts of a file, which are loaded on demand.

    Attributes:
        path: path of the file.
        origin: whether it is packaged or the user's own, and which LEMUR it was trained on.
        card: facts about the training: version, source and hash of the data, settings.
        places: names of the places; the position is the number of the place.
        transforms: features of each transform in the training data, by name.

    Raises: UserError if the file is missing, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._file = ModelFile(path, FORMAT)
        self.path, self.origin, index = path, self._file.origin, self._file.index
        self.card, self.places, self.transforms = index.card, index.places, index.transforms
        self._factors: Mapping[str, Mapping[int, _Factors]] = {
            kind: index.factors.get(kind, {}) for kind in get_args(_Kind)
        }
        for kind, known in self._factors.items():
            for epochs in known:
                self._file.require(
                    n for t in _Factors.model_fields for n in _names(kind, epochs, t)
                )
        self._expert = lru_cache(maxsize=None)(self.expert)

    def expert(self, kind: str, epochs: int) -> Expert:
        """Load the expert of a kind (`familiar`, `strange`) and known epochs. Raises: UserError."""
        models = []
        for name, factors in self._factors[kind][epochs]:
            trees = self._file.models(_names(kind, epochs, name))
            models.append(IntervalModel(*trees, *(math.inf if f is None else f for f in factors)))
        return Expert(*models)

    def predict(
        self,
        code: str | None,
        place: Place,
        hyperparameters: Mapping[str, int | float | str],
        transform: str | None,
        accuracies: Sequence[float] = (),
        facts: Facts | None = None,
    ) -> Prediction:
        """Predict a training from its code, its settings, and the accuracies of its first epochs.

        Args:
            code: source of the network; None if unknown.
            transform: name of the transform in LEMUR; None for none.
            accuracies: accuracy after each epoch from the first on, 0…1.
            facts: facts about the data set, if no place is known with this name.

        Raises:
            DataError: the code is not valid Python.
            UserError: an accuracy is outside 0…1, or a hyperparameter is not valid.
        """
        _check(accuracies)
        accuracies = accuracies[: targets.EPOCHS]
        notes: list[str] = []
        known, kind = self._place(place, facts, notes)
        run = TrainingRun("network", place, self._settings(hyperparameters, code, notes), None)
        row = features.static(run, {} if code is None else {"network": code}, {}, known)
        if transform in self.transforms:
            start, found = features.STATIC.index("transform_size"), self.transforms[transform]
            row[start : start + len(found)] = found
        elif transform is not None:
            notes.append(f"unknown transform {transform}: treated as none")
        epochs = max((h for h in self._factors[kind] if h <= len(accuracies)), default=-1)
        if epochs < 0:
            what = f"has no trees for {targets.epoch_count(len(accuracies))} known of {place}"
            raise UserError(
                what, where=str(self.path), hint="Train it again: nngpt predictor train"
            )
        row += features.early(accuracies, known.chance, epochs)
        if kind == "familiar":
            row.append(float(self.places.index(str(place))))
        so_far = np.array([max(accuracies[:epochs], default=0.0)])
        accuracy, stop = self._expert(kind, epochs).predict(np.array([row]), so_far)
        accuracy = accuracy.clipped(max(accuracies, default=0.0), 1.0)
        ceiling = float(accuracy.ceiling[0])
        return Prediction(_only(accuracy), _only(stop), ceiling, epochs, tuple(notes))

    def _place(self, place: Place, facts: Facts | None, notes: list[str]) -> tuple[Facts, str]:
        """Return facts about the data set and the kind of expert; append notes."""
        known = dataset_facts(place.dataset)
        if facts is not None and not is_known(place.dataset):
            known = facts
        if str(place) in self.places:
            return known, "familiar"
        if not self._factors["strange"]:
            raise UserError(
                f"the predictor was trained on one place only, which is not {place}",
                where=str(self.path),
                hint=f"Trained on: {', '.join(self.places)}",
            )
        wide = "the interval is that of new data sets"
        notes.append(f"the predictor was not trained on {place}: {wide}")
        if math.isnan(known.chance):
            notes.append(f"unknown data set {place.dataset}")
        return known, "strange"

    def _settings(
        self, given: Mapping[str, int | float | str], code: str | None, notes: list[str]
    ) -> dict[str, int | float | str]:
        """Return the hyperparameters completed with assumed values; append a note of them."""
        for name in ("lr", "batch"):
            value = given.get(name, 1)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise UserError(f"{name} must be a positive number, not {value}")
        missing = {name: value for name, value in ASSUMED.items() if name not in given}
        if code is not None and "momentum" not in code:
            missing.pop("momentum", None)  # as in LEMUR, where such networks have none
        if missing:
            assumed = ", ".join(f"{name} {value:g}" for name, value in missing.items())
            notes.append(f"assumed: {assumed}")
        return {**missing, **given}


def _names(kind: str, epochs: int, target: str) -> list[str]:
    """Return the names, in the predictor's file, of the trees for a target and for its error."""
    return [f"{kind}-{epochs}-{target}-{part}" for part in ("value", "error")]


def _only(rows: PredictedRows) -> PredictedValue:
    return PredictedValue(float(rows.point[0]), float(rows.low[0]), float(rows.high[0]))


def _check(accuracies: Sequence[float]) -> None:
    """Check that accuracies are within 0…1. Raises: UserError."""
    for epoch, accuracy in enumerate(accuracies, start=1):
        if not 0 <= accuracy <= 1:
            what = f"the accuracy after epoch {epoch} is {accuracy:g}, which is not in 0…1"
            percent = f"Per cent? Then write {accuracy / 100:g}" if 1 < accuracy <= 100 else ""
            raise UserError(what, hint=percent)
