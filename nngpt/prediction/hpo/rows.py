"""Trials as rows of numbers: what the network, the place and the hyperparameters are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nngpt.prediction import features
from nngpt.prediction.hpo.pools import Pool
from nngpt.prediction.places import facts
from nngpt.prediction.runs import Run

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Numbers = NDArray[np.int64]

NAMES: tuple[str, ...] = (
    *features.STATIC,
    *("log_lr_with_momentum", "log_lr_per_image", "log_lr_of_epoch", "place", "transform"),
)
CATEGORIES = (NAMES.index("place"), len(NAMES) - 1)
_AT = {name: features.STATIC.index(name) for name in ("log_lr", "momentum", "log_batch")}
_STEPS = features.STATIC.index("log_steps")


@dataclass(frozen=True)
class Vocabulary:
    """Places and transforms by number; others are unknown (NaN).

    Attributes:
        places: names of places.
        transforms: names of transforms.
    """

    places: tuple[str, ...]
    transforms: tuple[str, ...]

    @classmethod
    def of(cls, found: Sequence[Pool]) -> Vocabulary:
        """All that occur in pools."""
        runs = [run for pool in found for run in pool.runs]
        return cls(
            tuple(sorted({str(pool.place) for pool in found})),
            tuple(sorted({run.transform for run in runs if run.transform is not None})),
        )


@dataclass(frozen=True)
class Rows:
    """The trials of several pools, one after the other.

    Attributes:
        inputs: what is known before training [n, len(NAMES)].
        pools: the number of each trial's pool, ascending [n].
        accuracies: after the pool's epochs, 0…1 [n].
    """

    inputs: Matrix
    pools: Numbers
    accuracies: Vector

    def of(self, chosen: NDArray[np.bool_]) -> Rows:
        """Some of the pools.

        Args:
            chosen: for each pool, by number.
        """
        kept = chosen[self.pools]
        return Rows(self.inputs[kept], self.pools[kept], self.accuracies[kept])


def rows(
    found: Sequence[Pool],
    codes: Mapping[str, str],
    sources: Mapping[str, str],
    words: Vocabulary,
) -> Rows:
    """The trials of pools as rows.

    Args:
        codes: source of each network, by name.
        sources: source of each transform, by name.

    Raises:
        DataError: a code is no Python.
    """
    inputs = [row(run, codes, sources, words) for pool in found for run in pool.runs]
    numbers = np.repeat(np.arange(len(found)), [len(pool.runs) for pool in found])
    accuracies = np.concatenate([pool.accuracies for pool in found])
    return Rows(np.array(inputs), numbers, accuracies)


def row(
    run: Run,
    codes: Mapping[str, str],
    sources: Mapping[str, str],
    words: Vocabulary,
    images: int | None = None,
) -> list[float]:
    """One trial in the order of `NAMES`.

    Args:
        images: how many training images there were, if not those of the whole data set. Only the
            number of steps follows from it: by the set's size trees tell one set from another.

    Raises:
        DataError: the code is no Python.
    """
    static = features.static(run, codes, sources)
    if images is not None:
        static[_STEPS] += math.log10(images / facts(run.place.dataset).images)
    log_lr, momentum, log_batch = (static[_AT[name]] for name in _AT)
    moved = 0.0 if math.isnan(momentum) else momentum
    with_momentum = log_lr - math.log10(max(1e-3, 1 - moved))
    return [
        *static,
        with_momentum,
        log_lr - log_batch,
        with_momentum + static[_STEPS],
        _number(str(run.place), words.places),
        _number(run.transform, words.transforms),
    ]


def _number(name: str | None, names: Sequence[str]) -> float:
    return float(names.index(name)) if name in names else math.nan
