"""One model: final accuracy and stopping epoch after a given number of first epochs."""

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
"""Share of new runs that an interval shall hold."""

CEILING = 0.995
"""Share of new runs that shall end below the ceiling, by which a training is stopped early: one
that is asked several times must be right more often than an interval (docs/prediction.md)."""

FAMILIAR = Boosting()
"""For places that were learned from."""

STRANGE = Boosting(rounds=150, rate=0.05, leaves=15, smallest=100, shrinkage=10.0)
"""For other places: rougher trees, since fine ones learn what is peculiar to a place."""

STOPPING = Boosting(rounds=200, rate=0.03, leaves=15, smallest=40)


@dataclass(frozen=True)
class Estimate:
    """A value for each of n rows with its interval of level `LEVEL` and its ceiling, each [n]."""

    point: Vector
    low: Vector
    high: Vector
    ceiling: Vector


@dataclass(frozen=True)
class Scale:
    """Trees for a value, trees for the size of its error, and what makes that an interval.

    Attributes:
        factor: so many expected errors to either side hold `LEVEL` of runs of unseen groups.
        ceiling: so many above the value, `CEILING` of them lie below.
    """

    value: lightgbm.Booster
    error: lightgbm.Booster
    factor: float
    ceiling: float

    def raw(self, inputs: Matrix) -> Vector:
        """What the trees for the value say of rows [n, features]."""
        return np.asarray(self.value.predict(inputs, num_threads=1), dtype=float)

    def estimate(self, inputs: Matrix, point: Vector) -> Estimate:
        """The interval around points [n]."""
        spread = spread_of(self.error, with_point(point, inputs))
        reach = self.factor * spread
        return Estimate(point, point - reach, point + reach, point + self.ceiling * spread)


@dataclass(frozen=True)
class Expert:
    """What is known after `epochs` epochs.

    Attributes:
        epochs: accuracies it wants.
        accuracy: of the share of room that is left.
        stop: of the stopping epoch as a share of `targets.EPOCHS`.
    """

    epochs: int
    accuracy: Scale
    stop: Scale

    def predict(self, inputs: Matrix, so_far: Vector) -> tuple[Estimate, Estimate]:
        """Final accuracy, 0…1, and stopping epoch, 1 to `targets.EPOCHS`, of rows [n, features].

        Args:
            so_far: the best accuracy up to now [n].
        """
        final, stop = self.shares(inputs, so_far)
        return final, _in_epochs(stop)

    def shares(self, inputs: Matrix, so_far: Vector) -> tuple[Estimate, Estimate]:
        """As `predict`, but the stopping epoch is a share of `targets.EPOCHS`."""
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
    """Grow an expert; its intervals are calibrated on groups that its trees had not seen.

    Args:
        inputs: [n, features].
        truth: `best` and `stop` as `targets` gives them, each [n].
        so_far: the best accuracy of the first epochs [n].
        category: the column of `inputs` with the place's number, None if there is none.
        folds: the fold of each row [n].
    """
    scales = []
    for name in ("best", "stop"):
        crossed = crossed_for(name, inputs, truth[name], so_far, category, folds)
        scores = (truth[name] - crossed.points) / crossed.spreads
        factor, ceiling = quantile(np.abs(scores), LEVEL), quantile(scores, CEILING)
        boosting, wanted = _learned(name, truth[name], so_far, category)
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
    """Predictions of `best` or `stop` for each row by trees that never saw its fold.

    Args:
        learned: rows that may be learned from at all; None for all.
    """

    def restore(raw: Vector, rows: NDArray[np.bool_]) -> Vector:
        return targets.accuracy(raw, so_far[rows]) if name == "best" else np.clip(raw, 0, 1)

    boosting, wanted = _learned(name, truth, so_far, category)
    return cross(boosting, inputs, wanted, category, folds, restore, truth, learned)


def intervals(crossed: Crossed, truth: Vector, folds: NDArray[np.int64]) -> Estimate:
    """Intervals for rows that were predicted across folds, calibrated on the other folds."""
    scores = (truth - crossed.points) / crossed.spreads
    others = [scores[folds != fold] for fold in range(int(folds.max()) + 1)]
    factors = np.array([quantile(np.abs(found), LEVEL) for found in others])[folds]
    ceilings = np.array([quantile(found, CEILING) for found in others])[folds]
    reach = factors * crossed.spreads
    points = crossed.points
    return Estimate(points, points - reach, points + reach, points + ceilings * crossed.spreads)


def _learned(
    name: str, truth: Vector, so_far: Vector, category: int | None
) -> tuple[Boosting, Vector]:
    if name == "stop":
        return STOPPING, truth
    return (STRANGE if category is None else FAMILIAR), targets.share_of_room(truth, so_far)


def _error_trees(
    crossed: Crossed, inputs: Matrix, truth: Vector, category: int | None
) -> lightgbm.Booster:
    errors = np.abs(crossed.points - truth)
    wider = with_point(crossed.points, inputs)
    return SPREADING.fit(wider, errors, None if category is None else category + 1)


def clipped(estimate: Estimate, low: Vector | float, high: float) -> Estimate:
    """With point and ends kept within `low` to `high`."""
    values = (estimate.point, estimate.low, estimate.high, estimate.ceiling)
    return Estimate(*(np.clip(value, low, high) for value in values))


def _in_epochs(shares: Estimate) -> Estimate:
    """Whole epochs; the interval is rounded outwards."""
    point, low, high, ceiling = (
        end * targets.EPOCHS for end in (shares.point, shares.low, shares.high, shares.ceiling)
    )
    outwards = (np.floor(low + _EXACT), np.ceil(high - _EXACT), np.ceil(ceiling - _EXACT))
    return clipped(Estimate(np.round(point), *outwards), 1.0, float(targets.EPOCHS))


def horizon(seen: int, horizons: Sequence[int]) -> int:
    """The expert for a run of which `seen` epochs are known: the latest that needs no more."""
    return max(h for h in horizons if h <= seen)
