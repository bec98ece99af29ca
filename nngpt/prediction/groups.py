"""Groups of runs (near-duplicates, families): their folds, and means with intervals over groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nngpt import plugins
from nngpt.novelty.dedup.shingle_sets import KeptIndex, Shingler, rank_shingles
from nngpt.prediction.arrays import Numbers, Vector
from nngpt.prediction.runs import TrainingRun
from nngpt.store.lemur.mirror import family

MeanInterval = tuple[float, float | None, float | None]
"""A mean and the ends of its 95% interval, None for too few groups."""

FEWEST_GROUPS = 20
"""Smallest number of groups that are resampled: the bootstrap of fewer is too narrow."""

_RESAMPLES = 1000

NEAR = 0.90
"""Jaccard similarity of 10-token shingles above which networks share a component."""


def components(codes: Mapping[str, str]) -> dict[str, str]:
    """Return each network's component, its group of near-duplicates, named by the first member.

    Networks with a Jaccard similarity above `NEAR` are joined, directly or in chains.
    """
    names = sorted(codes)
    shingler = Shingler(plugins.create("dedup level", "lexical"))
    sets = rank_shingles([shingler.shingles(codes[name]) for name in names])
    index = KeptIndex(sets, NEAR)
    linked: dict[str, str] = {}
    for number, name in enumerate(names):
        for other, _ in index.neighbours(number):
            _link(linked, name, names[other])
        index.add(number)
    return {name: _find(linked, name) for name in names}


def by_component(runs: Sequence[TrainingRun], codes: Mapping[str, str]) -> list[str]:
    """Group runs by near-duplicate networks: return the component of each run's network."""
    found = components(codes)
    return [found[run.network] for run in runs]


def by_family(runs: Sequence[TrainingRun], codes: Mapping[str, str]) -> list[str]:
    """Group runs by family; return each run's. Families that share a near-duplicate are merged."""
    found = components(codes)
    linked: dict[str, str] = {}
    for name in sorted(codes):
        _link(linked, family(name), family(found[name]))
    return [_find(linked, family(run.network)) for run in runs]


def folds(groups: Sequence[str], count: int) -> Numbers:
    """Distribute whole groups of runs to folds; return each run's fold, 0 to `count` - 1.

    Groups are assigned in order of size, the largest first, each to the fold with the fewest runs:
    folds have similar sizes, and the same groups always give the same folds.
    """
    names, numbers = np.unique(np.array(groups), return_inverse=True)
    sizes = np.bincount(numbers)
    filled = np.zeros(min(count, len(names)), dtype=np.int64)
    chosen = np.zeros(len(names), dtype=np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        chosen[group] = np.argmin(filled)
        filled[chosen[group]] += sizes[group]
    return chosen[numbers]


def grouped_mean(values: Vector, groups: Numbers) -> MeanInterval:
    """Return the mean of values [n] with a 95% interval from resampling `groups` of runs [n].

    There is no interval for fewer than `FEWEST_GROUPS` groups.
    """
    sums, counts = np.bincount(groups, values), np.bincount(groups)
    if np.count_nonzero(counts) < FEWEST_GROUPS:
        return float(values.mean()), None, None
    draws = np.random.default_rng(0).integers(len(sums), size=(_RESAMPLES, len(sums)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def _link(linked: dict[str, str], one: str, two: str) -> None:
    """Merge the groups of two names; the first name in order represents the group."""
    one, two = sorted((_find(linked, one), _find(linked, two)))
    linked[two] = one


def _find(linked: dict[str, str], name: str) -> str:
    """Return the representative of a name's group (union-find with path halving)."""
    while (further := linked.setdefault(name, name)) != name:
        linked[name] = name = linked.setdefault(further, further)
    return name
