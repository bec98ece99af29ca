"""Pools: the recorded trials of one network in one place after the same number of epochs.

An engine that picks one trial of a pool has chosen hyperparameters; what the pool's best trial has
more of accuracy than the pick is the engine's regret.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nngpt.prediction.places import Place
from nngpt.prediction.runs import History, Run

Vector = NDArray[np.float64]
Numbers = NDArray[np.int64]

LEAST = 10
"""Distinct trials that a pool of the benchmark has at least."""


@dataclass(frozen=True)
class Pool:
    """Trials that differ in their hyperparameters and transform only.

    Attributes:
        network: its name.
        place: where it was judged.
        epochs: after how many epochs.
        runs: the n distinct trials.
        accuracies: of each trial after `epochs` epochs, 0…1 [n].
    """

    network: str
    place: Place
    epochs: int
    runs: tuple[Run, ...]
    accuracies: Vector

    @property
    def name(self) -> str:
        """The network, place and number of epochs."""
        return f"{self.network} on {self.place} after {self.epochs}"


def pools(history: History, epochs: int, least: int = LEAST) -> list[Pool]:
    """Pools of at least `least` trials after `epochs` epochs, in the order of their names."""
    found: dict[tuple[str, Place], dict[object, Run]] = {}
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
    """Accuracy given away by the pick, or by the best of several picks: 0…1."""
    return float(pool.accuracies.max() - np.max(pool.accuracies[picked]))


def random_regret(pool: Pool) -> float:
    """Expected regret of a pick at random."""
    return float(pool.accuracies.max() - pool.accuracies.mean())


def by_component(found: Sequence[Pool], components: Mapping[str, str]) -> list[str]:
    """The near-duplicate component of each pool's network."""
    return [components[pool.network] for pool in found]


def _pool(network: str, place: Place, epochs: int, runs: list[Run]) -> Pool:
    accuracies = np.array([run.accuracies[epochs - 1] for run in runs])
    return Pool(network, place, epochs, tuple(runs), accuracies)


def _settings(run: Run) -> tuple[object, ...]:
    return (run.transform, *sorted(run.hyperparameters.items()))
