"""Pools of recorded trials: one network in one place, judged after the same number of epochs.

An engine that picks one trial of a pool has chosen hyperparameters. Its regret is the accuracy of
the pool's best trial minus that of the pick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nngpt.prediction.places import Place
from nngpt.prediction.runs import History, TrainingRun

Vector = NDArray[np.float64]

LEAST = 10
"""Minimum number of distinct trials in a pool of the benchmark."""


@dataclass(frozen=True)
class Pool:
    """Trials that differ in their hyperparameters and transform only.

    Attributes:
        network: name of the network.
        place: task, data set and metric.
        epochs: number of epochs after which the trials were judged.
        runs: the n distinct trials.
        accuracies: accuracy of each trial after `epochs` epochs, 0…1 [n].
    """

    network: str
    place: Place
    epochs: int
    runs: tuple[TrainingRun, ...]
    accuracies: Vector

    @property
    def name(self) -> str:
        """The network, place and number of epochs."""
        return f"{self.network} on {self.place} after {self.epochs}"


def pools(history: History, epochs: int, least: int = LEAST) -> list[Pool]:
    """Return the pools of at least `least` trials after `epochs` epochs, sorted by name."""
    found: dict[tuple[str, Place], dict[object, TrainingRun]] = {}
    for run in history.runs:
        if len(run.accuracies) >= epochs and not math.isnan(run.accuracies[epochs - 1]):
            trials = found.setdefault((run.network, run.place), {})
            known = trials.setdefault(_settings(run), run)
            if run.accuracies[epochs - 1] > known.accuracies[epochs - 1]:
                trials[_settings(run)] = run
    made = [_pool(*key, epochs, list(trials.values())) for key, trials in found.items()]
    kept = [pool for pool in made if len(pool.runs) >= least]
    return sorted(kept, key=lambda pool: pool.name)


def regret(pool: Pool, picked: int | Sequence[int]) -> float:
    """Return the regret of a pick, or of the best of several picks, 0…1."""
    return float(pool.accuracies.max() - np.max(pool.accuracies[picked]))


def random_regret(pool: Pool) -> float:
    """Return the expected regret of a random pick, 0…1."""
    return float(pool.accuracies.max() - pool.accuracies.mean())


def _pool(network: str, place: Place, epochs: int, runs: list[TrainingRun]) -> Pool:
    accuracies = np.array([run.accuracies[epochs - 1] for run in runs])
    return Pool(network, place, epochs, tuple(runs), accuracies)


def _settings(run: TrainingRun) -> tuple[object, ...]:
    return (run.transform, *sorted(run.hyperparameters.items()))
