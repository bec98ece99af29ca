"""Final accuracy and stopping epoch of one network, with what must be said about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from nngpt.config import cache_folder
from nngpt.errors import UserError
from nngpt.prediction import features, targets
from nngpt.prediction.expert import Expert, clipped, horizon
from nngpt.prediction.file import PredictorFile
from nngpt.prediction.places import Facts, Place, facts
from nngpt.prediction.runs import Run

ASSUMED: Mapping[str, float] = {"lr": 0.01, "momentum": 0.9, "batch": 64}
"""Hyperparameters of which a run says nothing: the fixed default that is hard to beat."""


def default_path() -> Path:
    """Where a predictor lies unless one says otherwise."""
    return cache_folder() / "predictor.zip"


@dataclass(frozen=True)
class Interval:
    """A value, and the ends of the interval that holds it in 9 of 10 cases."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Prediction:
    """What becomes of a run.

    Attributes:
        accuracy: the highest within 50 epochs, 0…1.
        stop: the first epoch within one point of it.
        ceiling: of 1,000 such runs 5 get further than to this accuracy.
        epochs: so many first epochs were used.
        notes: what was assumed, and why the intervals may be wide; for the user.
    """

    accuracy: Interval
    stop: Interval
    ceiling: float
    epochs: int
    notes: tuple[str, ...]


class Predictor:
    """Predicts runs, with the experts of a file."""

    def __init__(self, path: Path) -> None:
        self.file = PredictorFile(path)
        self._expert = lru_cache(maxsize=None)(self.file.expert)

    def predict(
        self,
        code: str | None,
        place: Place,
        hyperparameters: Mapping[str, int | float | str],
        transform: str | None,
        accuracies: Sequence[float] = (),
        classes: int | None = None,
    ) -> Prediction:
        """Predict a run from its code, its settings, and the accuracies of its first epochs.

        Args:
            code: source of the network; None if it is not known.
            accuracies: after each epoch from the first on, 0…1.
            classes: of a data set that the predictor knows nothing of.

        Raises:
            DataError: the code is no Python.
            UserError: an accuracy is not in 0…1.
        """
        _check(accuracies)
        accuracies = accuracies[: targets.EPOCHS]
        notes: list[str] = []
        known, kind = self._place(place, classes, notes)
        run = Run("network", place, self._settings(hyperparameters, code, notes), None)
        row = features.static(run, {} if code is None else {"network": code}, {}, known)
        row = self._with_transform(row, transform, notes)
        epochs = horizon(len(accuracies), self.file.horizons(kind))
        row += features.early(accuracies, known.chance, epochs)
        if kind == "familiar":
            row.append(float(self.file.places.index(str(place))))
        expert: Expert = self._expert(kind, epochs)
        accuracy, stop = expert.predict(
            np.array([row]), np.array([max(accuracies[:epochs], default=0.0)])
        )
        accuracy = clipped(accuracy, max(accuracies, default=0.0), 1.0)
        ends = [
            Interval(float(e.point[0]), float(e.low[0]), float(e.high[0])) for e in (accuracy, stop)
        ]
        return Prediction(ends[0], ends[1], float(accuracy.ceiling[0]), epochs, tuple(notes))

    def _place(self, place: Place, classes: int | None, notes: list[str]) -> tuple[Facts, str]:
        known = facts(place.dataset)
        if str(place) in self.file.places:
            return known, "familiar"
        if not self.file.horizons("strange"):
            raise UserError(
                f"the predictor knows {place} not, and only one other place",
                where=str(self.file.path),
                hint=f"It knows {', '.join(self.file.places)}",
            )
        if classes is not None and math.isnan(known.classes):
            if classes < 2:
                raise UserError(f"{classes} classes are too few")
            known = replace(known, classes=float(classes), chance=1 / classes)
        notes.append(
            f"no run on {place} was learned from: the interval is that of unknown data sets"
        )
        if math.isnan(known.chance):
            notes.append(f"nothing is known of {place.dataset}: give --classes")
        return known, "strange"

    def _settings(
        self, given: Mapping[str, int | float | str], code: str | None, notes: list[str]
    ) -> dict[str, int | float | str]:
        for name in ("lr", "batch"):
            value = given.get(name, 1)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise UserError(f"{name} is {value}, which is no positive number")
        missing = {name: value for name, value in ASSUMED.items() if name not in given}
        if code is not None and "momentum" not in code:
            missing.pop("momentum", None)  # as in LEMUR, where such networks have none
        if missing:
            said = ", ".join(f"{name} {value:g}" for name, value in missing.items())
            notes.append(f"assumed: {said}")
        return {**missing, **given}

    def _with_transform(
        self, row: list[float], transform: str | None, notes: list[str]
    ) -> list[float]:
        if transform is None:
            return row
        found = self.file.transforms.get(transform)
        if found is None:
            notes.append(f"the transform {transform} is not known, and counts as none")
            return row
        start = features.STATIC.index("transform_size")
        return [*row[:start], *found, *row[start + len(found) :]]


def _check(accuracies: Sequence[float]) -> None:
    for epoch, accuracy in enumerate(accuracies, start=1):
        if not 0 <= accuracy <= 1:
            raise UserError(
                f"the accuracy after epoch {epoch} is {accuracy:g}, which is not in 0…1",
                hint=f"Per cent? Then write {accuracy / 100:g}" if 1 < accuracy <= 100 else "",
            )
