"""Gradient boosting (LightGBM) with the settings we measured, and predictions across folds."""

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
    """How trees are grown; see docs/prediction.md for what other settings gave.

    Attributes:
        rounds: number of trees.
        rate: learning rate.
        leaves: of a tree, at most.
        smallest: runs in a leaf, at least.
        shrinkage: L2 penalty of the leaves' values.
    """

    rounds: int = 400
    rate: float = 0.03
    leaves: int = 31
    smallest: int = 20
    shrinkage: float = 1.0

    def fit(self, inputs: Matrix, targets: Vector, category: int | None) -> lightgbm.Booster:
        """Grow trees on rows of `inputs` [n, features]; the same rows give the same trees.

        Args:
            category: the column that holds a category's number.
        """
        # One thread each: OpenMP spins when cores are shared (30 times slower), and fits of
        # several folds run side by side anyway.
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
    """Each row predicted by trees that never saw its group.

    The trees of the spreads have not seen it either, but they learn from errors of trees that have,
    as is usual where conformal sets are made across folds.

    Attributes:
        points: predictions [n].
        spreads: expected size of their errors [n], from trees that did not see the group either.
    """

    points: Vector
    spreads: Vector


LEAST_SPREAD = 0.02
"""Added to every expected error: without it a few rows of tiny expected error rule the interval."""

SPREADING = Boosting(rounds=150, rate=0.05, leaves=15, smallest=40)


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
    """Predict every row from the other folds, then the size of the errors likewise.

    Args:
        targets: what the trees learn [n].
        restore: from predictions of `targets` for the chosen rows to units of `truth`.
        truth: what is wanted in the end [n].
        learned: rows that may be learned from; None for all.
    """
    usable = np.ones(len(truth), dtype=bool) if learned is None else learned
    for fold in range(int(folds.max()) + 1):
        if not (usable & (folds != fold)).any():
            raise UserError("nothing is left to learn from", hint="Use a larger --share")
    chosen = range(int(folds.max()) + 1)

    def point(fold: int) -> Vector:
        rows = folds == fold
        trees = boosting.fit(inputs[~rows & usable], targets[~rows & usable], category)
        return restore(np.asarray(trees.predict(inputs[rows], num_threads=1)), rows)

    points = _gather(folds, point, chosen)
    errors = np.abs(points - truth)
    wider = with_point(points, inputs)

    def spread(fold: int) -> Vector:
        rows = folds == fold
        trees = SPREADING.fit(
            wider[~rows], errors[~rows], None if category is None else category + 1
        )
        return spread_of(trees, wider[rows])

    return Crossed(points, _gather(folds, spread, chosen))


def with_point(points: Vector, inputs: Matrix) -> Matrix:
    """What the size of an error is predicted from: the prediction, then its own inputs."""
    return np.column_stack([points, inputs])


def spread_of(trees: lightgbm.Booster, wider: Matrix) -> Vector:
    """Expected size of the errors of rows that `with_point` gave, never 0."""
    found: Vector = np.maximum(np.asarray(trees.predict(wider, num_threads=1)), 0.0)
    return found + LEAST_SPREAD


def quantile(scores: Vector, level: float) -> float:
    """The conformal quantile: of n scores the ceil((n + 1) * level)th; inf if there are too few."""
    place = int(np.ceil((len(scores) + 1) * level))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else float("inf")


def _gather(folds: NDArray[np.int64], predict: Callable[[int], Vector], chosen: range) -> Vector:
    found = np.zeros(len(folds))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for fold, values in zip(chosen, pool.map(predict, chosen), strict=True):
            found[folds == fold] = values
    return found
