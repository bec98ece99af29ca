"""Scores of recorded trials by HPO engines: the order in which an engine would try a pool's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nngpt import plugins
from nngpt.data.transform_names import dashed
from nngpt.errors import ModelError
from nngpt.prediction.arrays import Vector
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.engines.optuna import search
from nngpt.prediction.hpo.folds import NetworkFolds
from nngpt.prediction.hpo.pools import Pool, distance, median_of_best
from nngpt.prediction.hpo.proposal import DEFAULT, EngineContext, HPOTask, Proposal, space_of
from nngpt.prediction.hpo.trial_features import TrialTable
from nngpt.prediction.places import Place
from nngpt.protocols import HPOEngine
from nngpt.records import EpochResult, Evaluation, derive_seed


@dataclass(frozen=True)
class RecordedTrials:
    """Recorded trials that the benchmark uses, all judged after the same number of epochs.

    Attributes:
        pools: all pools with enough trials to learn from.
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


class Scored(NamedTuple):
    """An engine's scores of the benchmark's trials, and its answers that were not valid.

    Attributes:
        scores: a score for each row of `RecordedTrials.table` [n]; higher is better within a pool.
        refused: why the answer about a requested pool is not valid, None if it is; None for
            engines whose answers are always valid.
    """

    scores: Vector
    refused: Mapping[int, str | None] | None = None


Scores = Callable[[RecordedTrials], Scored]


def proposal_scores(trials: RecordedTrials, engine: HPOEngine) -> Scored:
    """Score the benchmark's trials by nearness to an engine's proposal.

    If the engine's answer is not valid, the default configuration replaces it.
    """
    scores = [np.zeros(len(pool.runs)) for pool in trials.pools]
    refused: dict[int, str | None] = {}
    for number in trials.requested:
        pool = trials.pools[number]
        task = HPOTask(trials.codes[pool.network], space_of(pool.runs[0]), pool.place, pool.epochs)
        refused[number] = None
        try:
            (proposal,) = engine.propose(task, 1)
        except ModelError as error:
            refused[number] = str(error)
            scores[number] = -distance(pool, DEFAULT)
        else:
            scores[number] = -_apart(pool, proposal)
    return Scored(np.concatenate(scores), refused)


def search_scores(trials: RecordedTrials, budget: int) -> Scored:
    """Score the benchmark's trials by the order in which a search by Optuna's TPE tries them.

    Each setting that the sampler asks for gets the accuracy of the nearest trial of the pool that
    was not tried yet. The search does not begin with the packaged surrogate's proposals, since the
    surrogate learned from these very trials.

    Args:
        budget: number of trials that a search tries, the first half of them at random.
    """
    scores = [np.full(len(pool.runs), -np.inf) for pool in trials.pools]
    for number in trials.requested:
        tried = _search(trials.pools[number], budget)
        scores[number][tried] = -np.arange(len(tried))
    return Scored(np.concatenate(scores))


def _search(pool: Pool, budget: int) -> list[int]:
    """Return the indices of the pool's trials that a search tries, in order."""
    tried: list[int] = []

    def look_up(proposal: Proposal) -> Evaluation:
        apart = _apart(pool, proposal)
        apart[tried] = np.inf
        tried.append(int(apart.argmin()))
        epoch = EpochResult(pool.epochs, float(pool.accuracies[tried[-1]]), 0, 0, 0.0)
        return Evaluation((epoch,), 0, 0.0, "cpu", 0, "none: recorded in LEMUR")

    search(
        look_up,
        space_of(pool.runs[0]),
        pool.epochs,
        min(budget, len(pool.runs)),
        derive_seed("hpo bench", pool.name),
        transforms=sorted({dashed(run.transform or "") for run in pool.runs}),
    )
    return tried


def _apart(pool: Pool, proposal: Proposal) -> Vector:
    """Return the distances of a pool's trials to a proposal [n]."""
    settings = {**proposal.hyperparameters, "batch": proposal.batch}
    return distance(pool, settings, dashed(proposal.transform))


def _default_scores(trials: RecordedTrials) -> Scored:
    """Score the benchmark's trials by nearness to the default configuration."""
    return Scored(-np.concatenate([distance(pool, DEFAULT) for pool in trials.pools]))


def _constant_scores(trials: RecordedTrials) -> Scored:
    """Score the requested trials by nearness to the median of other folds' best settings.

    They are those of the same place; where there are none, the default configuration is used.
    """
    scores = [np.zeros(len(pool.runs)) for pool in trials.pools]
    medians: dict[tuple[Place, int], Mapping[str, float]] = {}
    for number in trials.requested:
        pool = trials.pools[number]
        place, fold = key = (pool.place, trials.folds.of(pool.network))
        if key not in medians:
            same = [p for p in trials.pools if p.place == place]
            others = [p for p in same if trials.folds.of(p.network) != fold]
            medians[key] = median_of_best(others) if others else DEFAULT
        scores[number] = -distance(pool, medians[key])
    return Scored(np.concatenate(scores))


def _surrogate_scores(trials: RecordedTrials) -> Scored:
    """Score the benchmark's trials by trees of other folds; 0 in folds not requested."""
    fold = np.array([trials.folds.of(pool.network) for pool in trials.pools])
    scores = np.zeros(len(trials.table.pools))

    def score_fold(number: int) -> None:
        own = (fold == number)[trials.table.pools]
        trees = surrogate.learn(trials.table.of(fold != number))
        scores[own] = surrogate.score(trees, trials.table.inputs[own])

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(score_fold, sorted({int(fold[n]) for n in trials.requested})))
    return Scored(scores)


ONE_SHOT: Mapping[str, Scores] = {
    "default": _default_scores,
    "constant": _constant_scores,
    "surrogate": _surrogate_scores,
}
"""The engines that propose at once without an LLM, and the baseline `constant`."""


@contextmanager
def open_engines(
    names: Iterable[str],
    context: EngineContext,
    budget: int,
    adapter: Path | None = None,
    without_grammar: bool = False,
) -> Iterator[dict[str, Scores]]:
    """Open HPO engines for the benchmark, by name; the engine `llm` may be asked twice.

    Args:
        names: names of `ONE_SHOT`, "optuna", or HPO engines that propose without training.
        budget: number of trials that a search tries.
        adapter: adapter of the engine `llm`, None for the configuration's LLM as it is.
        without_grammar: True to ask the LLM without a grammar as well.

    Raises: PluginError, UserError or ConfigError if there is no such engine, or it lacks something.
    """
    with ExitStack() as stack:
        found: dict[str, Scores] = {}
        for name in names:
            if name in ONE_SHOT:
                found[name] = ONE_SHOT[name]
            elif name == "optuna":
                found[name] = partial(search_scores, budget=budget)
            else:
                options = {"adapter": adapter} if name == "llm" else {}
                engine = plugins.create("HPO engine", name, context, options=options)
                stack.enter_context(closing(engine))
                found[name] = partial(proposal_scores, engine=engine)
                if name == "llm" and without_grammar:
                    free = engine.without_grammar()
                    found["llm, no grammar"] = partial(proposal_scores, engine=free)
        yield found
