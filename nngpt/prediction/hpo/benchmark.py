"""Benchmark of HPO engines: scores of a pool's trials, and the accuracy lost by picking one."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from nngpt.errors import ModelError
from nngpt.prediction.arrays import Vector
from nngpt.prediction.groups import MeanInterval, grouped_mean
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.folds import NetworkFolds
from nngpt.prediction.hpo.pools import LEAST, Pool, distance, median_of_best, pools
from nngpt.prediction.hpo.proposal import DEFAULT, HPOTask, space_of
from nngpt.prediction.hpo.trial_features import TrialTable, Vocabulary, table
from nngpt.prediction.runs import History
from nngpt.prediction.targets import epoch_count
from nngpt.protocols import HPOEngine

LEARNED = 5
"""Minimum number of trials in a pool to learn from; pools to be tested on have `LEAST`."""


@dataclass(frozen=True)
class Regret:
    """Regret of one HPO engine, 0…1; 95% intervals from resampling groups of near-duplicates.

    Attributes:
        engine: name of the engine.
        epochs: number of epochs after which the trials were judged.
        pools: number of pools tested on.
        components: number of near-duplicate components of their networks.
        first: mean regret of the first pick.
        share: `first` divided by the mean regret of a random pick.
        top3: mean regret of the best of the first three picks; None for random picks.
        macro: mean over components of their mean regret.
    """

    engine: str
    epochs: int
    pools: int
    components: int
    first: MeanInterval
    share: float
    top3: MeanInterval | None
    macro: float


@dataclass(frozen=True)
class RecordedTrials:
    """Recorded trials that the benchmark uses, all judged after the same number of epochs.

    Attributes:
        pools: all pools of at least `LEARNED` trials.
        requested: indices of the pools to be tested on.
        table: trials of all pools as feature rows.
        folds: fold of each network.
        codes: source of each network by name.
    """

    pools: Sequence[Pool]
    requested: Sequence[int]
    table: TrialTable
    folds: NetworkFolds
    codes: Mapping[str, str]


Scores = Callable[[RecordedTrials], Vector]
"""Returns a score for each row of `RecordedTrials.table` [n]; higher is better within a pool."""


def _default_scores(trials: RecordedTrials) -> Vector:
    """Score the benchmark's trials by nearness to the default configuration [n]."""
    return -np.concatenate([distance(pool, DEFAULT) for pool in trials.pools])


def _constant_scores(trials: RecordedTrials) -> Vector:
    """Score the benchmark's trials by nearness to the median of other folds' best settings [n]."""
    found = []
    for pool in trials.pools:
        fold = trials.folds.of(pool.network)
        same = (p for p in trials.pools if p.place == pool.place)
        others = [p for p in same if trials.folds.of(p.network) != fold]
        found.append(-distance(pool, median_of_best(others or [pool])))
    return np.concatenate(found)


def _surrogate_scores(trials: RecordedTrials) -> Vector:
    """Score the benchmark's trials by trees of other folds; 0 in folds not requested [n]."""
    fold = np.array([trials.folds.of(pool.network) for pool in trials.pools])
    scores = np.zeros(len(trials.table.pools))

    def score_fold(number: int) -> None:
        own = (fold == number)[trials.table.pools]
        trees = surrogate.learn(trials.table.of(fold != number))
        scores[own] = surrogate.score(trees, trials.table.inputs[own])

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(score_fold, sorted({int(fold[n]) for n in trials.requested})))
    return scores


def proposal_scores(trials: RecordedTrials, engine: HPOEngine, answers: Counter[str]) -> Vector:
    """Score the benchmark's trials by nearness to an engine's proposal [n].

    If the engine fails, the default configuration replaces its proposal.

    Args:
        answers: counts the proposals that were `asked` for, and the `invalid` ones of them.
    """
    scores = [np.zeros(len(pool.runs)) for pool in trials.pools]
    for number in trials.requested:
        pool = trials.pools[number]
        code, space = trials.codes[pool.network], space_of(pool.runs[0])
        answers["asked"] += 1
        try:
            (proposal,) = engine.propose(HPOTask(code, space, pool.place, pool.epochs), 1)
        except ModelError:
            answers["invalid"] += 1
            scores[number] = -distance(pool, DEFAULT)
            continue
        settings = {**proposal.hyperparameters, "batch": proposal.batch}
        scores[number] = -distance(pool, settings, proposal.transform)
    return np.concatenate(scores)


ENGINES: Mapping[str, Scores] = {
    "default": _default_scores,
    "constant": _constant_scores,
    "surrogate": _surrogate_scores,
}
"""The engines that score at once, and the baseline `constant`."""


def bench(
    history: History,
    folds: NetworkFolds,
    epochs: Sequence[int],
    engines: Mapping[str, Scores],
    progress: Callable[[str], None],
    fold: int | None = None,
    limit: int | None = None,
) -> list[Regret]:
    """Benchmark HPO engines: return their regret, and random picks', by number of epochs.

    Args:
        fold: the fold to test on, for engines that learned from the others; None for all folds.
        limit: maximum number of its pools for each number of epochs, sampled; None for all.
    """
    found = []
    for horizon in epochs:
        progress(f"after {epoch_count(horizon)}")
        known = pools(history, horizon, LEARNED)
        requested = [number for number, pool in enumerate(known) if len(pool.runs) >= LEAST]
        if fold is not None:
            own = [number for number in requested if folds.of(known[number].network) == fold]
            requested = sorted(random.Random(0).sample(own, min(limit or len(own), len(own))))
        if not requested:
            continue
        rows = table(known, history.codes, history.transforms, Vocabulary.of(known))
        trials = RecordedTrials(known, requested, rows, folds, history.codes)
        scores = {}
        for name, engine in engines.items():
            progress(f"{name} on {len(requested)} pools")
            scores[name] = engine(trials)
        found += _regrets(trials, scores, horizon)
    return found


def _regrets(trials: RecordedTrials, scores: Mapping[str, Vector], epochs: int) -> list[Regret]:
    tested = [trials.pools[number] for number in trials.requested]
    components = np.array([trials.folds.components[pool.network] for pool in tested])
    groups = np.unique(components, return_inverse=True)[1]
    chance = np.array([pool.random_regret for pool in tested])

    def summary(engine: str, first: Vector, top3: Vector | None) -> Regret:
        share = float(first.mean() / chance.mean())
        best_of_three = None if top3 is None else grouped_mean(top3, groups)
        macro = float((np.bincount(groups, first) / np.bincount(groups)).mean())
        counts = (len(tested), int(groups.max()) + 1)
        mean = grouped_mean(first, groups)
        return Regret(engine, epochs, *counts, mean, share, best_of_three, macro)

    found = [summary("random", chance, None)]
    starts = np.searchsorted(trials.table.pools, trials.requested)
    for name, values in scores.items():
        regrets = []
        for start, pool in zip(starts, tested, strict=True):
            order = np.argsort(-values[start : start + len(pool.runs)], kind="stable").tolist()
            regrets.append([pool.regret(order[:1]), pool.regret(order[:3])])
        first, top3 = np.array(regrets).T
        found.append(summary(name, first, top3))
    return found
