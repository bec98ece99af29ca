"""Pools of recorded trials of one network: distance to settings, median of the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nngpt.data.transform_names import dashed
from nngpt.prediction.arrays import Vector
from nngpt.prediction.places import Place
from nngpt.prediction.runs import History, TrainingRun

Settings = Mapping[str, int | float | str]

_SCALES = np.array([1.0, 0.3, 0.6])
"""Differences in the decades of lr, momentum and decades of batch that count as a distance of 1."""

LEAST = 10
"""Minimum number of distinct trials in a pool of the benchmark."""


@dataclass(frozen=True)
class Pool:
    """Recorded trials of one network that differ in hyperparameters and transform only.

    Attributes:
        network: name of the network.
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
    """Return the pools of at least `least` recorded trials after `epochs` epochs, by name."""
    found: dict[tuple[str, Place], dict[object, TrainingRun]] = {}
    for run in history.runs:
        if len(run.accuracies) >= epochs and not math.isnan(run.accuracies[epochs - 1]):
            trials = found.setdefault((run.network, run.place), {})
            settings = (run.transform, *sorted(run.hyperparameters.items()))
            known = trials.setdefault(settings, run)
            if run.accuracies[epochs - 1] > known.accuracies[epochs - 1]:
                trials[settings] = run
    kept = []
    for (network, place), trials in found.items():
        if len(trials) >= least:
            accuracies = np.array([run.accuracies[epochs - 1] for run in trials.values()])
            kept.append(Pool(network, place, epochs, tuple(trials.values()), accuracies))
    return sorted(kept, key=lambda pool: pool.name)


def distance(pool: Pool, settings: Settings, transform: str | None = None) -> Vector:
    """Return the distances of a pool's trials to settings [n], in decades of lr."""
    axes = np.array([_axes(run.hyperparameters) for run in pool.runs])
    apart = np.nan_to_num((axes - _axes(settings)) / _SCALES)  # missing values count as equal
    found: Vector = np.sqrt((apart**2).sum(axis=1))
    if transform is not None:
        found += np.array([dashed(run.transform or "") != transform for run in pool.runs])
    return found


def median_of_best(known: Sequence[Pool]) -> dict[str, float]:
    """Return the median settings of each pool's best trial."""
    best = [pool.runs[int(pool.accuracies.argmax())].hyperparameters for pool in known]
    axes = np.array([_axes(settings) for settings in best]).T
    lr, momentum, batch = (_median(axis) for axis in axes)
    return {"lr": 10**lr, "momentum": momentum, "batch": 10**batch}


def _median(axis: Vector) -> float:
    known = axis[np.isfinite(axis)]
    return float(np.median(known)) if len(known) else math.nan


def _axes(settings: Settings) -> Vector:
    lr, momentum, batch = (settings.get(name) for name in ("lr", "momentum", "batch"))
    return np.array(
        [
            math.log10(lr) if isinstance(lr, int | float) and lr > 0 else math.nan,
            float(momentum) if isinstance(momentum, int | float) else math.nan,
            math.log10(batch) if isinstance(batch, int | float) and batch > 0 else math.nan,
        ]
    )
