"""Boosted trees that score hyperparameters for a network, learned from recorded trials.

The targets rank each trial among those of the same network and place, so the trees need not model
how difficult a network or data set is.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from nngpt.prediction.hpo.trial_features import CATEGORIES, NAMES, TrialTable

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

_CHANCE = NAMES.index("chance")
_ROUNDS = 200
_SEEDS = (0, 1)
FORESTS = 2 * len(_SEEDS)
"""Number of forests of a surrogate: one for each target and seed."""


@dataclass(frozen=True)
class Surrogate:
    """Trees that score trials; scores are comparable within a pool only.

    Attributes:
        trees: forests, whose scores are averaged.
    """

    trees: tuple[lightgbm.Booster, ...]

    def score(self, inputs: Matrix) -> Vector:
        """Return scores [n], higher is better, for feature rows [n, len(NAMES)]."""
        found = [np.asarray(one.predict(inputs, num_threads=1), dtype=float) for one in self.trees]
        mean: Vector = np.mean(found, axis=0)
        return mean


def learn(table: TrialTable) -> Surrogate:
    """Fit a surrogate to trials; every pool has the same total weight."""
    weights = 1.0 / np.bincount(table.pools)[table.pools]
    return Surrogate(
        tuple(
            _fit(table.inputs, targets, weights, seed)
            for targets in (share_of_best(table), rank(table))
            for seed in _SEEDS
        )
    )


def share_of_best(table: TrialTable) -> Vector:
    """Return each trial's accuracy above chance, divided by that of its pool's best trial [n]."""
    chance = np.nan_to_num(table.inputs[:, _CHANCE])
    best = np.full(int(table.pools.max()) + 1, -np.inf)
    np.maximum.at(best, table.pools, table.accuracies)
    share = (table.accuracies - chance) / np.maximum(best[table.pools] - chance, 0.02)
    found: Vector = np.clip(share, -0.2, 1.0)
    return found


def rank(table: TrialTable) -> Vector:
    """Return each trial's rank in its pool, divided by the pool's size: 1 for the best [n]."""
    order = np.lexsort((table.accuracies, table.pools))
    starts = np.searchsorted(table.pools[order], table.pools[order])
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order)) - starts + 1
    found: Vector = ranks / np.bincount(table.pools)[table.pools]
    return found


def _fit(inputs: Matrix, targets: Vector, weights: Vector, seed: int) -> lightgbm.Booster:
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
        "num_threads": 1,  # see nngpt.prediction.boosting
        "verbose": -1,
    }
    data = lightgbm.Dataset(inputs, targets, weight=weights, categorical_feature=list(CATEGORIES))
    return lightgbm.train(parameters, data, _ROUNDS)
