"""Which runs belong together when we ask how good the predictor is on something new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nngpt.novelty.dedup.neighbours import KeptIndex, ranked
from nngpt.novelty.dedup.shingle_sets import Shingler
from nngpt.plugins import load
from nngpt.prediction.runs import Run
from nngpt.store.lemur.family import family

NEAR = 0.90
"""Jaccard of 10-token shingles from which two networks are of one component (DESIGN.md)."""


def components(codes: Mapping[str, str]) -> dict[str, str]:
    """The near-duplicate component of each network, named by its first member.

    Networks are joined when their Jaccard is `NEAR` or more, and through others that are.
    """
    names = sorted(codes)
    shingler = Shingler(load("dedup level", "lexical").create())
    sets = ranked([shingler.shingles(codes[name]) for name in names])
    neighbours = KeptIndex(sets, NEAR)
    first = list(range(len(names)))
    for number in range(len(names)):
        for other, likeness in neighbours.near(number):
            if likeness >= NEAR:
                one, two = sorted((_root(first, number), _root(first, other)))
                first[two] = one
        neighbours.add(number)
    return {name: names[_root(first, number)] for number, name in enumerate(names)}


def by_component(runs: Sequence[Run], codes: Mapping[str, str]) -> list[str]:
    """The near-duplicate component of each run's network."""
    found = components(codes)
    return [found[run.network] for run in runs]


def by_family(runs: Sequence[Run], codes: Mapping[str, str]) -> list[str]:
    """The family of each run, families that share a near-duplicate being one."""
    found = components(codes)
    linked: dict[str, str] = {}
    for name in sorted(codes):
        one, two = _find(linked, family(name)), _find(linked, family(found[name]))
        linked[max(one, two)] = min(one, two)
    return [_find(linked, family(run.network)) for run in runs]


def by_place(runs: Sequence[Run]) -> list[str]:
    """The place of each run: task, data set and metric."""
    return [str(run.place) for run in runs]


def folds(groups: Sequence[str], count: int) -> NDArray[np.int64]:
    """A fold, 0 to `count` - 1, for each run; a group is never split.

    The largest groups are dealt first, each to the smallest fold, so that folds are of like size
    and the same groups always give the same folds.
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
    while first[number] != number:
        first[number] = first[first[number]]
        number = first[number]
    return number


def _find(linked: dict[str, str], name: str) -> str:
    while (further := linked.setdefault(name, name)) != name:
        name = further
    return name
