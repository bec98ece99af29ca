"""Benchmark of HPO engines on recorded trials: the accuracy lost by trying some of each pool's.

A pool of trials is a question: which of them is the best? An engine that picks trials has chosen
hyperparameters. Its regret is the accuracy of the pool's best trial minus that of its best pick.
Its RMSE is the papers' figure, with the definition that matches their 0.60 and 0.64 in size, which
they do not state in the text that is at hand (arXiv 2511.20333, section 3.2): the root of the mean
over questions of (1 − accuracy of the best pick)². The best trials themselves are far from 0 by
this measure, so it tells as much about the data sets as about the engines.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from nngpt.prediction.arrays import Vector
from nngpt.prediction.groups import MeanInterval, grouped_mean
from nngpt.prediction.hpo.folds import NetworkFolds
from nngpt.prediction.hpo.pools import LEAST, pools
from nngpt.prediction.hpo.trial_features import Vocabulary, table
from nngpt.prediction.hpo.trial_scores import RecordedTrials, Scored, Scores
from nngpt.prediction.runs import History
from nngpt.prediction.targets import epoch_count
from nngpt.statistics import Estimate, share

LEARNED = 5
"""Minimum number of trials in a pool to learn from; pools to be tested on have `LEAST`."""

EVALUATIONS = (1, 3, 8)
"""Numbers of trials that an engine may try; its best one counts."""


@dataclass(frozen=True)
class Question:
    """A pool that all engines were asked about, and the trials that each of them picked.

    Attributes:
        network: name of the network.
        place: task, data set and metric.
        epochs: number of epochs after which the trials were judged.
        component: near-duplicate component of the network, by its first member.
        fold: fold of the component.
        accuracies: accuracy of each trial, 0…1, the best first.
        picks: by engine, the picked trials in the order of picking, as indices of `accuracies`.
        refused: by engine that may answer wrongly, why its answer is not valid, None if it is.
    """

    network: str
    place: str
    epochs: int
    component: str
    fold: int
    accuracies: tuple[float, ...]
    picks: Mapping[str, tuple[int, ...]]
    refused: Mapping[str, str | None]


@dataclass(frozen=True)
class Regret:
    """Regret and RMSE of one HPO engine, 0…1; 95% intervals from resampling components.

    Attributes:
        engine: name of the engine; `random` picks at random, without repeats.
        epochs: number of epochs after which the trials were judged.
        evaluations: number of trials that the engine tries, of which the best counts.
        pools: number of questions.
        components: number of near-duplicate components of their networks.
        mean: mean regret.
        share: `mean` divided by the mean regret of one random pick.
        macro: mean over components of their mean regret.
        rmse: root of the mean squared distance of the accuracy to 1 (the papers').
        least_rmse: RMSE of the best trial of each pool.
        valid: share of the answers that follow the schema; None if all do by construction.
    """

    engine: str
    epochs: int
    evaluations: int
    pools: int
    components: int
    mean: MeanInterval
    share: float
    macro: float
    rmse: MeanInterval
    least_rmse: float
    valid: Estimate | None = None


def bench(
    history: History,
    folds: NetworkFolds,
    epochs: Sequence[int],
    engines: Mapping[str, Scores],
    progress: Callable[[str], None],
    fold: int | None = None,
    limit: int | None = None,
    most: int = max(EVALUATIONS),
) -> list[Question]:
    """Ask HPO engines which trials of each pool they would try; all get the same questions.

    Args:
        fold: the fold to test on, for engines that learned from the others; None for all folds.
        limit: maximum number of pools for each number of epochs, sampled; None for all.
        most: number of picks to keep of each engine.
    """
    found = []
    for horizon in epochs:
        progress(f"after {epoch_count(horizon)}")
        known = pools(history, horizon, LEARNED)
        own = [
            number
            for number, pool in enumerate(known)
            if len(pool.runs) >= LEAST and fold in (None, folds.of(pool.network))
        ]
        requested = sorted(random.Random(0).sample(own, min(limit or len(own), len(own))))
        if not requested:
            continue
        rows = table(known, history.codes, history.transforms, Vocabulary.of(known))
        trials = RecordedTrials(known, requested, rows, folds, history.codes)
        scored = {}
        for name, engine in engines.items():
            progress(f"{name} on {len(requested)} pools")
            scored[name] = engine(trials)
        found += _questions(trials, scored, most)
    return found


def _questions(trials: RecordedTrials, scored: Mapping[str, Scored], most: int) -> list[Question]:
    found = []
    starts = np.searchsorted(trials.table.pools, trials.requested)
    for number, start in zip(trials.requested, starts, strict=True):
        pool = trials.pools[number]
        order = np.argsort(-pool.accuracies, kind="stable")
        place = np.argsort(order)  # of each trial among `accuracies`
        picks, refused = {}, {}
        for engine, (scores, invalid) in scored.items():
            chosen = np.argsort(-scores[start : start + len(order)], kind="stable")[:most]
            picks[engine] = tuple(place[chosen].tolist())
            if invalid is not None:
                refused[engine] = invalid[number]
        found.append(
            Question(
                pool.network,
                str(pool.place),
                pool.epochs,
                trials.folds.components[pool.network],
                trials.folds.of(pool.network),
                tuple(pool.accuracies[order].tolist()),
                picks,
                refused,
            )
        )
    return found


def lines(questions: Sequence[Question]) -> Iterator[bytes]:
    """Yield each question as a line of JSON, with accuracies of five digits."""
    for question in questions:
        rounded = [round(value, 5) for value in question.accuracies]
        yield json.dumps({**asdict(question), "accuracies": rounded}).encode() + b"\n"


def regrets(
    questions: Sequence[Question], evaluations: Sequence[int] = EVALUATIONS
) -> list[Regret]:
    """Return regret and RMSE of each engine and of random picks, by epochs and evaluations.

    Args:
        evaluations: numbers of trials that an engine may try.
    """
    found = []
    for epochs in dict.fromkeys(question.epochs for question in questions):
        own = [question for question in questions if question.epochs == epochs]
        for count in evaluations:
            found += [_regret(own, engine, count) for engine in ("random", *own[0].picks)]
    return found


def _regret(questions: Sequence[Question], engine: str, count: int) -> Regret:
    best = np.array([one.accuracies[0] for one in questions])
    mean, squares = np.array([_outcome(one, engine, count) for one in questions]).T
    chance = np.array([np.mean(one.accuracies) for one in questions])
    groups = np.unique([one.component for one in questions], return_inverse=True)[1]
    lost = best - mean
    middle, low, high = grouped_mean(squares, groups)
    answers = [one.refused[engine] for one in questions if engine in one.refused]
    return Regret(
        engine=engine,
        epochs=questions[0].epochs,
        evaluations=count,
        pools=len(questions),
        components=int(groups.max()) + 1,
        mean=grouped_mean(lost, groups),
        share=float(lost.mean() / (best - chance).mean()),
        macro=float((np.bincount(groups, lost) / np.bincount(groups)).mean()),
        rmse=(math.sqrt(middle), low and math.sqrt(low), high and math.sqrt(high)),
        least_rmse=math.sqrt(float(((1 - best) ** 2).mean())),
        valid=share(sum(fault is None for fault in answers), len(answers)),
    )


def _outcome(question: Question, engine: str, count: int) -> tuple[float, float]:
    """Return the accuracy of an engine's best pick and its squared distance to 1, as expected."""
    reached = np.array(question.accuracies)
    if engine == "random":
        chances = _best_of(len(reached), count)
        return float(chances @ reached), float(chances @ (1 - reached) ** 2)
    best = float(reached[min(question.picks[engine][:count])])
    return best, (1 - best) ** 2


def _best_of(trials: int, count: int) -> Vector:
    """Return how probable each of ranked trials is the best of `count` random ones [trials].

    The others are then among those of a lower rank, which can be chosen in C(lower, count − 1) of
    the C(trials, count) ways.
    """
    count = min(count, trials)
    ways = math.comb(trials, count)
    return np.array([math.comb(lower, count - 1) / ways for lower in reversed(range(trials))])
