"""Gradient boosting (LightGBM), cross-fitted predictions, and conformal quantiles."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from nngpt.errors import UserError

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


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
        # One thread each: OpenMP spins when cores are shared (30 times slower), and the fits of
        # several folds run in parallel anyway.
        parameters: dict[str, Any] = {
            "objective": "regression",
            "num_leaves": self.leaves,
            "learning_rate": self.rate,
            "min_child_samples": min(self.smallest, max(1, len(targets) // 10)),
            "lambda_l2": self.shrinkage,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "max_bin": 127,
            "seed": 0,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }
        columns = "auto" if category is None else [category]
        data = lightgbm.Dataset(inputs, targets, categorical_feature=columns)
        return lightgbm.train(parameters, data, self.rounds)


@dataclass(frozen=True)
class Crossed:
    """Predictions of rows by trees that were not fitted to their fold.

    The trees of the spreads were not fitted to the fold either, but to errors of trees that were,
    as is usual in cross-conformal prediction.

    Attributes:
        points: predictions [n].
        spreads: expected absolute errors of the predictions [n].
    """

    points: Vector
    spreads: Vector


LEAST_SPREAD = 0.02
"""Added to every expected error, so that a few tiny ones do not dominate the conformal quantile."""

SPREADING = Boosting(rounds=150, rate=0.05, leaves=15, smallest=40)
"""Settings of the trees that predict the size of errors."""


def cross(
    boosting: Boosting,
    inputs: Matrix,
    targets: Vector,
    category: int | None,
    folds: NDArray[np.int64],
    restore: Callable[[Vector, NDArray[np.bool_]], Vector],
    truth: Vector,
    learned: NDArray[np.bool_] | None = None,
) -> Crossed:
    """Predict every row, and then the size of its error, from the other folds.

    Args:
        targets: values that the trees are fitted to [n].
        restore: converts predictions of `targets` for the chosen rows to units of `truth`.
        truth: true values [n].
        learned: rows that may be learned from; None for all.

    Raises:
        UserError: a fold has no other rows to learn from.
    """
    usable = np.ones(len(truth), dtype=bool) if learned is None else learned
    for fold in range(int(folds.max()) + 1):
        if not (usable & (folds != fold)).any():
            raise UserError("nothing is left to learn from", hint="Use a larger --share")
    spread_category = None if category is None else category + 1

    def point(fold: int) -> Vector:
        rows = folds == fold
        trees = boosting.fit(inputs[~rows & usable], targets[~rows & usable], category)
        return restore(np.asarray(trees.predict(inputs[rows], num_threads=1)), rows)

    points = _by_fold(folds, point)
    errors = np.abs(points - truth)
    wider = with_point(points, inputs)

    def spread(fold: int) -> Vector:
        rows = folds == fold
        trees = SPREADING.fit(wider[~rows], errors[~rows], spread_category)
        return spread_of(trees, wider[rows])

    return Crossed(points, _by_fold(folds, spread))


def with_point(points: Vector, inputs: Matrix) -> Matrix:
    """Return the inputs of the error trees: the prediction, then the features."""
    return np.column_stack([points, inputs])


def spread_of(trees: lightgbm.Booster, wider: Matrix) -> Vector:
    """Return the expected absolute errors of rows that `with_point` returned, never 0."""
    found: Vector = np.maximum(np.asarray(trees.predict(wider, num_threads=1)), 0.0)
    return found + LEAST_SPREAD


def quantile(scores: Vector, level: float) -> float:
    """Return the conformal quantile of n scores, the ceil((n + 1) * level)-th smallest; inf if n
    is too small."""
    place = int(np.ceil((len(scores) + 1) * level))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else float("inf")


def _by_fold(folds: NDArray[np.int64], predict: Callable[[int], Vector]) -> Vector:
    """Return the predictions of all folds [n], computed in parallel."""
    found = np.zeros(len(folds))
    numbers = range(int(folds.max()) + 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for fold, values in zip(numbers, pool.map(predict, numbers), strict=True):
            found[folds == fold] = values
    return found
