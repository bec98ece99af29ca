"""How much accuracy an engine gives away when it picks one recorded trial of each pool."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nngpt.prediction.evaluation import share_of_groups
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.choice import Choice
from nngpt.prediction.hpo.defaults import DEFAULT, distance, distance_to_default, middle_of_best
from nngpt.prediction.hpo.folds import Folds
from nngpt.prediction.hpo.pools import LEAST, Pool, by_component, pools, random_regret, regret
from nngpt.prediction.hpo.rows import Rows, Vocabulary, rows
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


Ask = Callable[[Pool], Choice | None]
"""An engine that writes settings for a pool's network; None if its answer is none."""


@dataclass(frozen=True)
class Part:
    """A part of the pools, for engines that are slow or learned from the rest.

    Attributes:
        fold: only pools of this fold.
        limit: at most so many (None: all) of them after each number of epochs, drawn at random.
        ask: one more engine, by name; the trial nearest to its settings is its pick.
    """

    fold: int
    limit: int | None
    ask: Mapping[str, Ask]

    def of(self, known: Sequence[Pool], folds: Folds, asked: Sequence[int]) -> list[int]:
        """Those of the asked pools that are in this part."""
        own = [number for number in asked if folds.of(known[number].network) == self.fold]
        drawn = random.Random(0).sample(own, min(self.limit or len(own), len(own)))
        return sorted(drawn)


def bench(
    history: History,
    folds: Folds,
    epochs: Sequence[int],
    progress: Callable[[str], None],
    part: Part | None = None,
) -> list[Regret]:
    """Regrets of every engine after each number of epochs.

    The surrogate never learned from a near-duplicate of the network it is asked about.
    """
    found = []
    for horizon in epochs:
        progress(f"after {horizon} epochs")
        known = pools(history, horizon, LEARNED)
        asked = [number for number, pool in enumerate(known) if len(pool.runs) >= LEAST]
        if part is not None:
            asked = part.of(known, folds, asked)
        if not asked:
            continue
        table = rows(known, history.codes, history.transforms, Vocabulary.of(known))
        engines = {
            "default": -distance_to_default(table.inputs),
            "constant": _best_of_place(known, folds),
            "surrogate": _crossed(known, table, folds, {folds.of(known[n].network) for n in asked}),
        }
        for name, ask in (part.ask if part else {}).items():
            progress(f"asking {name} about {len(asked)} networks")
            engines[name] = _written(known, asked, ask)
        found += _regrets(known, asked, engines, table, folds.components, horizon)
    return found


def _crossed(known: Sequence[Pool], table: Rows, folds: Folds, asked: set[int]) -> Vector:
    """The surrogate's score of each trial in the asked folds, without the pools of its fold."""
    fold = np.array([folds.of(pool.network) for pool in known])
    scores = np.zeros(len(table.pools))

    def of_fold(number: int) -> None:
        rest, own = table.of(fold != number), (fold == number)[table.pools]
        if own.any():
            scores[own] = surrogate.learn(rest).score(table.inputs[own])

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(of_fold, sorted(asked)))
    return scores


def _written(known: Sequence[Pool], asked: Sequence[int], ask: Ask) -> Vector:
    """Nearness to the settings that were written; where none were, to the default."""
    found = []
    for number, pool in enumerate(known):
        choice = ask(pool) if number in asked else None
        if choice is None:
            found.append(-distance(pool, DEFAULT))
        else:
            settings = {**choice.hyperparameters, "batch": choice.batch}
            found.append(-distance(pool, settings, choice.transform))
    return np.concatenate(found)


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
    chance = np.array([random_regret(pool) for pool in chosen])

    def judged(engine: str, first: Vector, top3: Vector | None) -> Regret:
        macro = np.bincount(groups, first) / np.bincount(groups)
        return Regret(
            engine,
            epochs,
            len(chosen),
            int(groups.max()) + 1,
            share_of_groups(first, groups),
            float(first.mean() / chance.mean()),
            None if top3 is None else share_of_groups(top3, groups),
            float(macro.mean()),
        )

    found = [judged("random", chance, None)]
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
