"""Groups of runs (near-duplicates, families, places) and their cross-validation folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nngpt import plugins
from nngpt.novelty.dedup.neighbours import KeptIndex, rank_shingles
from nngpt.novelty.dedup.shingle_sets import Shingler
from nngpt.prediction.runs import TrainingRun
from nngpt.store.lemur.family import family

NEAR = 0.90
"""Jaccard similarity of 10-token shingles at or above which networks share a component."""


def components(codes: Mapping[str, str]) -> dict[str, str]:
    """Return the near-duplicate component of each network, named by its first member.

    Networks with a Jaccard similarity of at least `NEAR` are joined, directly or in chains.
    """
    names = sorted(codes)
    shingler = Shingler(plugins.create("dedup level", "lexical"))
    sets = rank_shingles([shingler.shingles(codes[name]) for name in names])
    index = KeptIndex(sets, NEAR)
    first = list(range(len(names)))
    for number in range(len(names)):
        for other, _ in index.neighbours(number):
            one, two = sorted((_root(first, number), _root(first, other)))
            first[two] = one
        index.add(number)
    return {name: names[_root(first, number)] for number, name in enumerate(names)}


def by_component(runs: Sequence[TrainingRun], codes: Mapping[str, str]) -> list[str]:
    """Return the near-duplicate component of each run's network."""
    found = components(codes)
    return [found[run.network] for run in runs]


def by_family(runs: Sequence[TrainingRun], codes: Mapping[str, str]) -> list[str]:
    """Return the family of each run; families that share a near-duplicate are merged."""
    found = components(codes)
    linked: dict[str, str] = {}
    for name in sorted(codes):
        one, two = _find(linked, family(name)), _find(linked, family(found[name]))
        linked[max(one, two)] = min(one, two)
    return [_find(linked, family(run.network)) for run in runs]


def by_place(runs: Sequence[TrainingRun]) -> list[str]:
    """Return the name of each run's place (task, data set and metric)."""
    return [str(run.place) for run in runs]


def folds(groups: Sequence[str], count: int) -> NDArray[np.int64]:
    """Return a fold, 0 to `count` - 1, for each run; groups are never split.

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


def _root(first: list[int], number: int) -> int:
    """Return the representative of a network's component (union-find with path halving)."""
    while first[number] != number:
        first[number] = first[first[number]]
        number = first[number]
    return number


def _find(linked: dict[str, str], name: str) -> str:
    while (further := linked.setdefault(name, name)) != name:
        name = further
    return name
