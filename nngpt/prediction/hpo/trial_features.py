"""Feature rows of recorded trials: network, place and hyperparameters as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nngpt.prediction import features
from nngpt.prediction.arrays import Mask, Matrix, Numbers, Vector
from nngpt.prediction.hpo.pools import Pool
from nngpt.prediction.places import Facts, dataset_facts
from nngpt.prediction.runs import TrainingRun

NAMES: tuple[str, ...] = (
    *features.STATIC,
    *("log_lr_with_momentum", "log_lr_per_image", "log_lr_of_epoch", "place", "transform"),
)
CATEGORIES = (NAMES.index("place"), len(NAMES) - 1)
OF_TRANSFORM = [*(NAMES.index(name) for name in features.TRANSFORM), len(NAMES) - 1]
"""Positions of the features that depend on the transform; the others do not."""

_AT = {name: features.STATIC.index(name) for name in ("log_lr", "momentum", "log_batch")}
_STEPS = features.STATIC.index("log_steps")


@dataclass(frozen=True)
class Vocabulary:
    """Names of the places and transforms that have a feature value; others are unknown (NaN)."""

    places: tuple[str, ...]
    transforms: tuple[str, ...]

    @classmethod
    def of(cls, found: Sequence[Pool]) -> Vocabulary:
        """Return the vocabulary of all places and transforms in pools."""
        runs = [run for pool in found for run in pool.runs]
        return cls(
            tuple(sorted({str(pool.place) for pool in found})),
            tuple(sorted({run.transform for run in runs if run.transform is not None})),
        )


@dataclass(frozen=True)
class TrialTable:
    """Feature rows of the recorded trials of several pools, pool by pool.

    Attributes:
        inputs: features known before training [n, len(NAMES)].
        pools: index of each trial's pool, ascending [n].
        accuracies: accuracy of each trial after its pool's epochs, 0…1 [n].
    """

    inputs: Matrix
    pools: Numbers
    accuracies: Vector

    def of(self, chosen: Mask) -> TrialTable:
        """Return the rows of the pools for which `chosen` [pools] is True."""
        kept = chosen[self.pools]
        return TrialTable(self.inputs[kept], self.pools[kept], self.accuracies[kept])


def table(
    found: Sequence[Pool],
    codes: Mapping[str, str],
    sources: Mapping[str, str],
    vocabulary: Vocabulary,
) -> TrialTable:
    """Return the feature rows of all trials of these pools, given the sources by name.

    Raises: DataError if a network's code is not valid Python.
    """
    inputs = [row(run, codes, sources, vocabulary) for pool in found for run in pool.runs]
    numbers = np.repeat(np.arange(len(found)), [len(pool.runs) for pool in found])
    accuracies = np.concatenate([pool.accuracies for pool in found])
    return TrialTable(np.array(inputs), numbers, accuracies)


def row(
    run: TrainingRun,
    codes: Mapping[str, str],
    sources: Mapping[str, str],
    vocabulary: Vocabulary,
    images: int | None = None,
    facts: Facts | None = None,
) -> list[float]:
    """Return the feature row of one trial, in the order of `NAMES`. Raises: as `table`.

    Args:
        images: number of training images; None for the whole data set. It changes the number of
            steps only: by the size of the data set the trees tell data sets apart.
        facts: facts about the data set; None to look them up by its name.
    """
    known = facts or dataset_facts(run.place.dataset)
    static = features.static(run, codes, sources, known)
    if images is not None:
        static[_STEPS] += math.log10(images / known.images)
    log_lr, momentum, log_batch = (static[_AT[name]] for name in _AT)
    known_momentum = 0.0 if math.isnan(momentum) else momentum
    with_momentum = log_lr - math.log10(max(1e-3, 1 - known_momentum))
    return [
        *static,
        with_momentum,
        log_lr - log_batch,
        with_momentum + static[_STEPS],
        _number(str(run.place), vocabulary.places),
        _number(run.transform, vocabulary.transforms),
    ]


def _number(name: str | None, names: Sequence[str]) -> float:
    return float(names.index(name)) if name in names else math.nan
