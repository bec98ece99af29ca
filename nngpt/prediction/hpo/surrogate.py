"""A model over recorded trials that says which hyperparameters suit a network.

It learns how good each trial is among those of the same network and place, so that what makes a
network or a data set easy or hard does not distract it.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from nngpt.prediction.hpo.rows import CATEGORIES, NAMES, Rows

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

_CHANCE = NAMES.index("chance")
_ROUNDS = 200
_SEEDS = (0, 1)


@dataclass(frozen=True)
class Surrogate:
    """Trees that score trials; only the order of the scores within a pool means something.

    Attributes:
        trees: each scores every trial; the mean counts.
    """

    trees: tuple[lightgbm.Booster, ...]

    def score(self, inputs: Matrix) -> Vector:
        """Return scores [n], higher is better, for feature rows [n, len(NAMES)] of `rows`."""
        found = [np.asarray(one.predict(inputs, num_threads=1), dtype=float) for one in self.trees]
        mean: Vector = np.mean(found, axis=0)
        return mean


def learn(rows: Rows) -> Surrogate:
    """Grow a surrogate; each pool weighs the same."""
    weights = 1.0 / np.bincount(rows.pools)[rows.pools]
    return Surrogate(
        tuple(
            _grow(rows.inputs, wanted, weights, seed)
            for wanted in (share_of_best(rows), rank(rows))
            for seed in _SEEDS
        )
    )


def share_of_best(rows: Rows) -> Vector:
    """What a trial has above chance, as a share of what the best of its pool has [n]."""
    chance = np.nan_to_num(rows.inputs[:, _CHANCE])
    best = _of_pools(rows, np.maximum)
    share = (rows.accuracies - chance) / np.maximum(best - chance, 0.02)
    found: Vector = np.clip(share, -0.2, 1.0)
    return found


def rank(rows: Rows) -> Vector:
    """The place of a trial in its pool as a share of the pool: 1 for the best [n]."""
    order = np.lexsort((rows.accuracies, rows.pools))
    starts = np.searchsorted(rows.pools[order], rows.pools[order])
    places = np.empty(len(order))
    places[order] = np.arange(len(order)) - starts + 1
    found: Vector = places / np.bincount(rows.pools)[rows.pools]
    return found


def _of_pools(rows: Rows, how: np.ufunc) -> Vector:
    found = np.full(int(rows.pools.max()) + 1, -np.inf)
    how.at(found, rows.pools, rows.accuracies)
    return found[rows.pools]


def _grow(inputs: Matrix, wanted: Vector, weights: Vector, seed: int) -> lightgbm.Booster:
    parameters = {
        "objective": "regression",
        "num_leaves": 31,
        "learning_rate": 0.06,
        "min_child_samples": 20,
        "lambda_l2": 1.0,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "max_bin": 63,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,  # nngpt.prediction.boosting says why
        "verbose": -1,
    }
    data = lightgbm.Dataset(inputs, wanted, weight=weights, categorical_feature=list(CATEGORIES))
    return lightgbm.train(parameters, data, _ROUNDS)
