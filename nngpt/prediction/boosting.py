"""Gradient boosting (LightGBM) with conformal intervals, calibrated on cross-fitted errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np

from nngpt.errors import UserError
from nngpt.prediction.arrays import Mask, Matrix, Numbers, Vector

Restore = Callable[[Vector], Vector]


LEVEL = 0.90
"""Nominal coverage of the intervals."""

CEILING = 0.995
"""Nominal share of runs that end below their ceiling, which early stopping relies on. It is higher
than `LEVEL` since it is checked after every epoch (docs/prediction.md)."""

LEAST_SPREAD = 0.02
"""Added to every expected error, so that a few tiny ones do not dominate the conformal quantile."""

# One thread each: OpenMP spins when cores are shared (30 times slower), and the fits of several
# folds run in parallel anyway.
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
"""Parameters of LightGBM that all trees share."""


@dataclass(frozen=True)
class Boosting:
    """Settings of gradient boosting; docs/prediction.md reports what other settings gave.

    Attributes:
        rounds: number of trees.
        rate: learning rate.
        leaves: maximum number of leaves of a tree.
        smallest: minimum number of rows in a leaf.
        shrinkage: L2 penalty on the values of the leaves.
    """

    rounds: int = 400
    rate: float = 0.03
    leaves: int = 31
    smallest: int = 20
    shrinkage: float = 1.0

    def fit(self, inputs: Matrix, targets: Vector, category: int | None) -> lightgbm.Booster:
        """Fit trees to rows of `inputs` [n, features]; the same rows give the same trees.

        Args:
            category: index of the categorical column; None if there is none.
        """
        parameters = {
            **PARAMETERS,
            "num_leaves": self.leaves,
            "learning_rate": self.rate,
            "min_child_samples": min(self.smallest, max(1, len(targets) // 10)),
            "lambda_l2": self.shrinkage,
            "feature_fraction": 0.5,
            "max_bin": 127,
            "seed": 0,
        }
        columns = "auto" if category is None else [category]
        data = lightgbm.Dataset(inputs, targets, categorical_feature=columns)
        return lightgbm.train(parameters, data, self.rounds)


SPREADING = Boosting(rounds=150, rate=0.05, leaves=15, smallest=40)
"""Settings of the trees that predict the size of errors."""


@dataclass(frozen=True)
class PredictedRows:
    """Predicted values of n rows, the ends of their intervals, and their ceilings, each [n]."""

    point: Vector
    low: Vector
    high: Vector
    ceiling: Vector

    def clipped(self, low: Vector | float, high: float) -> PredictedRows:
        """Return the rows with all values clipped to `low` … `high`."""
        values = (self.point, self.low, self.high, self.ceiling)
        return PredictedRows(*(np.clip(value, low, high) for value in values))


@dataclass(frozen=True)
class IntervalModel:
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

    def predict(self, inputs: Matrix, restore: Restore) -> PredictedRows:
        """Predict values and intervals of rows [n, features]; `restore` as in `Regression`."""
        point = restore(predict(self.value, inputs))
        spread = _positive(predict(self.error, np.column_stack([point, inputs])))
        reach = self.factor * spread
        return PredictedRows(point, point - reach, point + reach, point + self.ceiling * spread)


@dataclass(frozen=True)
class Regression:
    """A value to learn by boosting: its rows, and folds to calibrate its intervals on.

    Attributes:
        boosting: settings of the trees for the value.
        inputs: feature rows [n, features].
        targets: values that the trees are fitted to [n].
        category: index of the categorical column of `inputs`; None if there is none.
        folds: fold of each row [n].
        restore: converts predictions of `targets` to the unit of `truth`.
        truth: true values [n].
    """

    boosting: Boosting
    inputs: Matrix
    targets: Vector
    category: int | None
    folds: Numbers
    restore: Restore
    truth: Vector

    def fit(self) -> IntervalModel:
        """Fit a model to all rows."""
        points, spreads = self.cross()
        scores = (self.truth - points) / spreads
        return IntervalModel(
            self.boosting.fit(self.inputs, self.targets, self.category),
            SPREADING.fit(*self._errors(points)),
            quantile(np.abs(scores), LEVEL),
            quantile(scores, CEILING),
        )

    def cross(self, learned: Mask | None = None) -> tuple[Vector, Vector]:
        """Predict each row, and then the size of its error, by trees fitted to the other folds.

        The error trees were not fitted to the row's fold either, but to errors of trees that were,
        as is usual in cross-conformal prediction.

        Args:
            learned: rows that the trees for the value may learn from; None for all.

        Raises: UserError if a fold has no other rows to learn from.
        """
        data = (self.inputs, self.targets, self.category)
        points = self.restore(_cross_predict(self.boosting, *data, self.folds, learned))
        return points, _positive(_cross_predict(SPREADING, *self._errors(points), self.folds))

    def cross_intervals(self, learned: Mask | None = None) -> PredictedRows:
        """Predict like `cross`, with intervals calibrated on the other folds."""
        points, spreads = self.cross(learned)
        scores = (self.truth - points) / spreads
        others = [scores[self.folds != fold] for fold in range(int(self.folds.max()) + 1)]
        factors = np.array([quantile(np.abs(found), LEVEL) for found in others])[self.folds]
        ceilings = np.array([quantile(found, CEILING) for found in others])[self.folds]
        low, high = points - factors * spreads, points + factors * spreads
        return PredictedRows(points, low, high, points + ceilings * spreads)

    def _errors(self, points: Vector) -> tuple[Matrix, Vector, int | None]:
        """Return inputs, targets and categorical column of the error trees, given predictions."""
        category = None if self.category is None else self.category + 1
        return np.column_stack([points, self.inputs]), np.abs(points - self.truth), category


def predict(trees: lightgbm.Booster, inputs: Matrix) -> Vector:
    """Return the predictions [n] of boosting for rows [n, features].

    Raises:
        UserError: the trees come from a file made for other features.
    """
    try:
        return np.asarray(trees.predict(inputs, num_threads=1), dtype=float)
    except lightgbm.basic.LightGBMError as error:
        raise UserError(f"a model file does not fit ({error})", hint="Train it again") from None


def to_share(raw: Vector) -> Vector:
    """Clip the output of boosting to 0…1."""
    return np.clip(raw, 0, 1)


def quantile(scores: Vector, level: float) -> float:
    """Return the conformal quantile of boosting errors: the ceil((n + 1) * level)-th, or inf."""
    place = int(np.ceil((len(scores) + 1) * level))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else float("inf")


def _positive(errors: Vector) -> Vector:
    """Return predicted absolute errors [n], never 0."""
    found: Vector = np.maximum(errors, 0.0) + LEAST_SPREAD
    return found


def _cross_predict(
    boosting: Boosting,
    inputs: Matrix,
    targets: Vector,
    category: int | None,
    folds: Numbers,
    learned: Mask | None = None,
) -> Vector:
    """Predict each row by trees fitted to the learned rows of the other folds [n], in parallel."""
    usable = np.ones(len(folds), dtype=bool) if learned is None else learned
    found = np.zeros(len(folds))

    def predict_fold(fold: int) -> None:
        rows = folds == fold
        others = usable & ~rows
        if not others.any():
            raise UserError("nothing is left to learn from", hint="Use a larger --share")
        trees = boosting.fit(inputs[others], targets[others], category)
        found[rows] = predict(trees, inputs[rows])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(predict_fold, range(int(folds.max()) + 1)))
    return found
