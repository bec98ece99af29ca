"""How much accuracy an engine gives away when it picks one recorded trial of each pool."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nngpt.hpo import surrogate
from nngpt.hpo.defaults import distance, distance_to_default, middle_of_best
from nngpt.hpo.folds import COUNT, Folds
from nngpt.hpo.pools import LEAST, Pool, by_component, pools, random_regret, regret
from nngpt.hpo.rows import Rows, Vocabulary, rows
from nngpt.prediction.evaluation import share_of_groups
from nngpt.prediction.runs import History

Vector = NDArray[np.float64]

LEARNED = 5
"""Pools of at least so many trials are learned from; those of `LEAST` are asked about."""

Between = tuple[float, float, float]


@dataclass(frozen=True)
class Regret:
    """What one engine gives away; accuracies in 0…1, 95% intervals from resampling components.

    Attributes:
        engine: who picks.
        epochs: after how many epochs the trials were judged.
        pools: that were asked about.
        components: of near-duplicates among their networks.
        first: mean regret of its first pick.
        share: that divided by the mean regret of a random pick.
        top3: mean regret of the best of its first three picks; None for random.
        macro: mean over components of their mean regret.
    """

    engine: str
    epochs: int
    pools: int
    components: int
    first: Between
    share: float
    top3: Between | None
    macro: float


def bench(
    history: History, folds: Folds, epochs: Sequence[int], progress: Callable[[str], None]
) -> list[Regret]:
    """Regrets of every engine after each number of epochs.

    The surrogate never learned from a near-duplicate of the network it is asked about.
    """
    found = []
    for horizon in epochs:
        progress(f"after {horizon} epochs")
        known = pools(history, horizon, LEARNED)
        asked = [number for number, pool in enumerate(known) if len(pool.runs) >= LEAST]
        table = rows(known, history.codes, history.transforms, Vocabulary.of(known))
        engines = {
            "default": -distance_to_default(table.inputs),
            "constant": _best_of_place(known, folds),
            "surrogate": _crossed(known, table, folds),
        }
        found += _regrets(known, asked, engines, table, folds.components, horizon)
    return found


def _crossed(known: Sequence[Pool], table: Rows, folds: Folds) -> Vector:
    """The surrogate's score of each trial, without the pools of its fold."""
    fold = np.array([folds.of(pool.network) for pool in known])
    scores = np.zeros(len(table.pools))

    def of_fold(number: int) -> None:
        rest, own = table.of(fold != number), (fold == number)[table.pools]
        if own.any():
            scores[own] = surrogate.learn(rest).score(table.inputs[own])

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(of_fold, range(COUNT)))
    return scores


def _best_of_place(known: Sequence[Pool], folds: Folds) -> Vector:
    """Nearness to what was best, in the middle, of the other folds' pools in the same place."""
    found = []
    for pool in known:
        fold = folds.of(pool.network)
        others = [p for p in known if p.place == pool.place and folds.of(p.network) != fold]
        found.append(-distance(pool, middle_of_best(others or [pool])))
    return np.concatenate(found)


def _regrets(
    known: Sequence[Pool],
    asked: Sequence[int],
    engines: Mapping[str, Vector],
    table: Rows,
    components: Mapping[str, str],
    epochs: int,
) -> list[Regret]:
    chosen = [known[number] for number in asked]
    groups = np.unique(np.array(by_component(chosen, components)), return_inverse=True)[1]
    random = np.array([random_regret(pool) for pool in chosen])

    def judged(engine: str, first: Vector, top3: Vector | None) -> Regret:
        macro = np.bincount(groups, first) / np.bincount(groups)
        return Regret(
            engine,
            epochs,
            len(chosen),
            int(groups.max()) + 1,
            share_of_groups(first, groups),
            float(first.mean() / random.mean()),
            None if top3 is None else share_of_groups(top3, groups),
            float(macro.mean()),
        )

    found = [judged("random", random, None)]
    starts = np.searchsorted(table.pools, asked)
    for name, scores in engines.items():
        orders = [
            np.argsort(-scores[start : start + len(pool.runs)], kind="stable")
            for start, pool in zip(starts, chosen, strict=True)
        ]
        picked = [
            [regret(p, order[:n].tolist()) for n in (1, 3)]
            for p, order in zip(chosen, orders, strict=True)
        ]
        first, top3 = np.array(picked).T
        found.append(judged(name, first, top3))
    return found
