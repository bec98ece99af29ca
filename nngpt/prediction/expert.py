"""Models of final accuracy and stopping epoch, given a fixed number of first epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from nngpt.prediction import targets
from nngpt.prediction.boosting import (
    SPREADING,
    Boosting,
    Crossed,
    cross,
    quantile,
    spread_of,
    with_point,
)

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_EXACT = 1e-9

LEVEL = 0.90
"""Nominal coverage of the intervals."""

CEILING = 0.995
"""Nominal share of runs that end below their ceiling, which early stopping relies on. It is higher
than `LEVEL` since it is checked after every epoch (docs/prediction.md)."""

FAMILIAR = Boosting()
"""Settings for places that were learned from."""

STRANGE = Boosting(rounds=150, rate=0.05, leaves=15, smallest=100, shrinkage=10.0)
"""Settings for new places: coarser trees, since fine ones fit the peculiarities of a place."""

STOPPING = Boosting(rounds=200, rate=0.03, leaves=15, smallest=40)
"""Settings for the stopping epoch."""


@dataclass(frozen=True)
class PredictedRows:
    """Predicted values of n rows, the ends of their intervals, and their ceilings, each [n]."""

    point: Vector
    low: Vector
    high: Vector
    ceiling: Vector


@dataclass(frozen=True)
class Scale:
    """Trees for a value and for its error, and the factors that turn errors into intervals.

    Attributes:
        value: trees for the value.
        error: trees for the absolute error of the value.
        factor: half the width of an interval with coverage `LEVEL`, in expected errors.
        ceiling: distance of the ceiling from the value, in expected errors.
    """

    value: lightgbm.Booster
    error: lightgbm.Booster
    factor: float
    ceiling: float

    def raw(self, inputs: Matrix) -> Vector:
        """Return the values of rows [n, features], as the trees give them."""
        return np.asarray(self.value.predict(inputs, num_threads=1), dtype=float)

    def estimate(self, inputs: Matrix, point: Vector) -> PredictedRows:
        """Return points [n] with their intervals and ceilings."""
        spread = spread_of(self.error, with_point(point, inputs))
        reach = self.factor * spread
        return PredictedRows(point, point - reach, point + reach, point + self.ceiling * spread)


@dataclass(frozen=True)
class Expert:
    """Models for runs whose first `epochs` epochs are known.

    Attributes:
        epochs: number of known epochs.
        accuracy: model of the gain in accuracy (`targets.share_of_room`).
        stop: model of the stopping epoch, divided by `targets.EPOCHS`.
    """

    epochs: int
    accuracy: Scale
    stop: Scale

    def predict(self, inputs: Matrix, so_far: Vector) -> tuple[PredictedRows, PredictedRows]:
        """Predict final accuracy, 0…1, and stopping epoch, 1 to `targets.EPOCHS`.

        Args:
            inputs: feature rows [n, features].
            so_far: best accuracy of the known epochs [n].
        """
        final, stop = self.shares(inputs, so_far)
        return final, _in_epochs(stop)

    def shares(self, inputs: Matrix, so_far: Vector) -> tuple[PredictedRows, PredictedRows]:
        """Predict like `predict`, with the stopping epoch divided by `targets.EPOCHS`."""
        point = targets.accuracy(self.accuracy.raw(inputs), so_far)
        final = self.accuracy.estimate(inputs, point)
        stop = self.stop.estimate(inputs, np.clip(self.stop.raw(inputs), 0, 1))
        return clipped(final, so_far, 1.0), clipped(stop, 1 / targets.EPOCHS, 1.0)


def learn(
    epochs: int,
    inputs: Matrix,
    truth: Mapping[str, Vector],
    so_far: Vector,
    category: int | None,
    folds: NDArray[np.int64],
) -> Expert:
    """Fit an expert; its intervals are calibrated on cross-fitted errors.

    Args:
        epochs: number of known epochs.
        inputs: feature rows [n, features].
        truth: `best` and `stop` of `targets`, each [n].
        so_far: best accuracy of the known epochs [n].
        category: column of `inputs` with the number of the place; None if there is none.
        folds: fold of each row [n].
    """
    scales = []
    for name in ("best", "stop"):
        crossed = crossed_for(name, inputs, truth[name], so_far, category, folds)
        scores = (truth[name] - crossed.points) / crossed.spreads
        factor, ceiling = quantile(np.abs(scores), LEVEL), quantile(scores, CEILING)
        boosting, wanted = _fitting(name, truth[name], so_far, category)
        value = boosting.fit(inputs, wanted, category)
        error = _error_trees(crossed, inputs, truth[name], category)
        scales.append(Scale(value, error, factor, ceiling))
    return Expert(epochs, *scales)


def crossed_for(
    name: str,
    inputs: Matrix,
    truth: Vector,
    so_far: Vector,
    category: int | None,
    folds: NDArray[np.int64],
    learned: NDArray[np.bool_] | None = None,
) -> Crossed:
    """Predict `best` or `stop` of each row by trees fitted to the other folds.

    Args:
        learned: rows that may be learned from; None for all.
    """

    def restore(raw: Vector, rows: NDArray[np.bool_]) -> Vector:
        return targets.accuracy(raw, so_far[rows]) if name == "best" else np.clip(raw, 0, 1)

    boosting, wanted = _fitting(name, truth, so_far, category)
    return cross(boosting, inputs, wanted, category, folds, restore, truth, learned)


def intervals(crossed: Crossed, truth: Vector, folds: NDArray[np.int64]) -> PredictedRows:
    """Return cross-fitted predictions with intervals calibrated on the other folds."""
    scores = (truth - crossed.points) / crossed.spreads
    others = [scores[folds != fold] for fold in range(int(folds.max()) + 1)]
    factors = np.array([quantile(np.abs(found), LEVEL) for found in others])[folds]
    ceilings = np.array([quantile(found, CEILING) for found in others])[folds]
    reach = factors * crossed.spreads
    points = crossed.points
    return PredictedRows(
        points, points - reach, points + reach, points + ceilings * crossed.spreads
    )


def _fitting(
    name: str, truth: Vector, so_far: Vector, category: int | None
) -> tuple[Boosting, Vector]:
    """Return the settings of the trees for `best` or `stop`, and the values to fit [n]."""
    if name == "stop":
        return STOPPING, truth
    return (STRANGE if category is None else FAMILIAR), targets.share_of_room(truth, so_far)


def _error_trees(
    crossed: Crossed, inputs: Matrix, truth: Vector, category: int | None
) -> lightgbm.Booster:
    errors = np.abs(crossed.points - truth)
    wider = with_point(crossed.points, inputs)
    return SPREADING.fit(wider, errors, None if category is None else category + 1)


def clipped(estimate: PredictedRows, low: Vector | float, high: float) -> PredictedRows:
    """Return an estimate with all values clipped to `low` … `high`."""
    values = (estimate.point, estimate.low, estimate.high, estimate.ceiling)
    return PredictedRows(*(np.clip(value, low, high) for value in values))


def _in_epochs(shares: PredictedRows) -> PredictedRows:
    """Convert shares of `targets.EPOCHS` to whole epochs, rounding the intervals outwards."""
    point, low, high, ceiling = (
        end * targets.EPOCHS for end in (shares.point, shares.low, shares.high, shares.ceiling)
    )
    outwards = (np.floor(low + _EXACT), np.ceil(high - _EXACT), np.ceil(ceiling - _EXACT))
    return clipped(PredictedRows(np.round(point), *outwards), 1.0, float(targets.EPOCHS))


def horizon(seen: int, horizons: Sequence[int]) -> int:
    """Return the largest horizon that needs no more than `seen` epochs."""
    return max(h for h in horizons if h <= seen)
