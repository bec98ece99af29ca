"""The surrogate: boosted trees that score hyperparameters for a network, and their file.

The targets rank each trial among those of the same network and place, so the trees need not model
how difficult a network or data set is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
from pydantic import Field

from nngpt.errors import UserError
from nngpt.files import cache_folder
from nngpt.prediction import boosting, groups
from nngpt.prediction.arrays import Matrix, Vector
from nngpt.prediction.boosting import Boosting, IntervalModel, Regression, to_share
from nngpt.prediction.hpo.folds import COUNT
from nngpt.prediction.hpo.pools import Pool, pools
from nngpt.prediction.hpo.trial_features import CATEGORIES, NAMES, TrialTable, Vocabulary, table
from nngpt.prediction.model_file import Format, Index, ModelFile, training_facts, write_models
from nngpt.prediction.runs import History
from nngpt.prediction.targets import epoch_count

EPOCHS = (1, 5, 50)
"""Numbers of epochs after which LEMUR has many trials."""

_LEARNED = 5
"""Minimum number of trials in a pool to learn from."""

_VERSION = {"format": 1, "names": list(NAMES)}


class _Index(Index):
    """Index of a surrogate's file: known words, transforms' sources, factors by epochs."""

    words: tuple[tuple[str, ...], tuple[str, ...]]
    sources: dict[str, str | None]
    factors: dict[int, float] = Field(min_length=1)


_FORMAT = Format("surrogate", "nngpt hpo train", "hpo.json", _VERSION, _Index)
_ACCURACY = Boosting(rounds=200, rate=0.06, leaves=31)
_PLACE = CATEGORIES[0]
_CHANCE = NAMES.index("chance")
_SEEDS = (0, 1)
_FORESTS = 2 * len(_SEEDS)

Forests = Sequence[lightgbm.Booster]
"""Trees of a surrogate, for each target and seed."""


def learn(trials: TrialTable) -> Forests:
    """Fit the surrogate's trees, which score trials; every pool has the same total weight."""
    weights = 1.0 / np.bincount(trials.pools)[trials.pools]
    return [
        _fit(trials.inputs, targets, weights, seed)
        for targets in (share_of_best(trials), rank(trials))
        for seed in _SEEDS
    ]


def score(trees: Forests, inputs: Matrix) -> Vector:
    """Return the surrogate's scores [n] of rows [n, len(NAMES)]; they rank trials within a pool."""
    mean: Vector = np.mean([boosting.predict(one, inputs) for one in trees], axis=0)
    return mean


def share_of_best(trials: TrialTable) -> Vector:
    """Return the surrogate's target: accuracy above chance as a share of the pool's best [n]."""
    chance = np.nan_to_num(trials.inputs[:, _CHANCE])
    best = np.full(int(trials.pools.max()) + 1, -np.inf)
    np.maximum.at(best, trials.pools, trials.accuracies)
    share = (trials.accuracies - chance) / np.maximum(best[trials.pools] - chance, 0.02)
    found: Vector = np.clip(share, -0.2, 1.0)
    return found


def rank(trials: TrialTable) -> Vector:
    """Return the surrogate's target: each trial's ascending rank / its pool's size [n]."""
    order = np.lexsort((trials.accuracies, trials.pools))
    starts = np.searchsorted(trials.pools[order], trials.pools[order])
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order)) - starts + 1
    found: Vector = ranks / np.bincount(trials.pools)[trials.pools]
    return found


def _fit(inputs: Matrix, targets: Vector, weights: Vector, seed: int) -> lightgbm.Booster:
    parameters = {
        **boosting.PARAMETERS,
        "num_leaves": 31,
        "learning_rate": 0.06,
        "min_child_samples": 20,
        "lambda_l2": 1.0,
        "feature_fraction": 0.4,
        "max_bin": 63,
        "seed": seed,
    }
    data = lightgbm.Dataset(inputs, targets, weight=weights, categorical_feature=list(CATEGORIES))
    return lightgbm.train(parameters, data, 200)


class HorizonModel(NamedTuple):
    """Models that the surrogate learned from trials of one training length."""

    scores: Forests
    accuracy: IntervalModel

    def accuracies(self, inputs: Matrix) -> list[tuple[float, float, float]]:
        """Return expected accuracy and ends of its 90% interval for rows [n, len(NAMES)]."""
        found = self.accuracy.predict(inputs, to_share).clipped(0.0, 1.0)
        return list(zip(found.point.tolist(), found.low.tolist(), found.high.tolist(), strict=True))


def default_path() -> Path:
    """Return the path in the cache of the surrogate that the user trains."""
    return cache_folder() / "hpo.zip"


def train(
    history: History, path: Path, progress: Callable[[str], None], epochs: Sequence[int] = EPOCHS
) -> dict[str, Any]:
    """Train the surrogate on a history, write its file, and return its card. Raises: UserError."""
    known = {horizon: pools(history, horizon, _LEARNED) for horizon in epochs}
    kept = {horizon: found for horizon, found in known.items() if len(found) >= 2}
    if not kept:
        ends = ", ".join(map(str, epochs))
        what = f"no two networks have {_LEARNED} trials or more after {ends} epochs"
        raise UserError(what, hint="Import more of LEMUR: nngpt lemur pull")
    vocabulary = Vocabulary.of([pool for found in kept.values() for pool in found])
    card = {
        **training_facts(history),
        "pools": {str(horizon): len(found) for horizon, found in kept.items()},
        "trials": {str(h): sum(len(p.runs) for p in found) for h, found in kept.items()},
    }
    models = _learn_horizons(history, kept, vocabulary, progress)
    entries = {
        "card": card,
        "words": [vocabulary.places, vocabulary.transforms],
        "sources": {name: history.transforms.get(name) for name in vocabulary.transforms},
        "factors": {horizon: model.accuracy.factor for horizon, model in models.items()},
    }
    members: dict[str, lightgbm.Booster] = {}
    for horizon, model in models.items():
        trees = (*model.scores, model.accuracy.value, model.accuracy.error)
        members |= zip(_member_names(horizon), trees, strict=True)
    write_models(path, _FORMAT, entries, members)
    return card


def _learn_horizons(
    history: History,
    kept: Mapping[int, Sequence[Pool]],
    vocabulary: Vocabulary,
    progress: Callable[[str], None],
) -> dict[int, HorizonModel]:
    """Fit the surrogate's models for each number of epochs."""
    networks = {pool.network for found in kept.values() for pool in found}
    components = groups.components({name: history.codes[name] for name in networks})
    models = {}
    for number, (horizon, found) in enumerate(kept.items(), start=1):
        after = f"after {epoch_count(horizon)} ({number} of {len(kept)})"
        progress(f"learning from {sum(len(pool.runs) for pool in found):,} trials {after}")
        rows = table(found, history.codes, history.transforms, vocabulary)
        own = [components[found[number].network] for number in rows.pools]
        folds, truth = groups.folds(own, COUNT), rows.accuracies
        accuracy = Regression(_ACCURACY, rows.inputs, truth, _PLACE, folds, to_share, truth)
        scores = learn(rows)
        progress(f"learning accuracies {after}")
        models[horizon] = HorizonModel(scores, accuracy.fit())
    return models


def _member_names(horizon: int) -> list[str]:
    """Return the names, in the file, of the models for a number of epochs."""
    parts = [*(f"score-{number}" for number in range(_FORESTS)), "value", "error"]
    return [f"{horizon}-{part}" for part in parts]


class SurrogateFile:
    """The surrogate, read from the file that `train` wrote. Raises: UserError as `ModelFile`.

    Attributes:
        origin: whether it is packaged or the user's own, and which LEMUR it was trained on.
    """

    def __init__(self, path: Path) -> None:
        self._file = ModelFile(path, _FORMAT)
        self.origin = self._file.origin
        self._model = lru_cache(maxsize=None)(self._load)
        index = self._file.index
        self.vocabulary, self._factors = Vocabulary(*index.words), index.factors
        self.sources = {name: text for name, text in index.sources.items() if text is not None}
        self._file.require(name for horizon in self._factors for name in _member_names(horizon))

    def at(self, epochs: int) -> tuple[int, HorizonModel]:
        """Return the largest trained length up to `epochs`, else the smallest, and its models."""
        fitting = [horizon for horizon in self._factors if horizon <= epochs]
        horizon = max(fitting, default=min(self._factors))
        return horizon, self._model(horizon)

    def _load(self, horizon: int) -> HorizonModel:
        *scores, value, error = self._file.models(_member_names(horizon))
        model = IntervalModel(value, error, self._factors[horizon], math.inf)
        return HorizonModel(scores, model)
