"""Find the kept networks at or above a threshold exactly, without comparing all pairs.

Prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): put all
shingles into one order, the rarest first. Two sets with a Jaccard similarity of at least t share
at least t * max(sizes) elements, so their first `size - ceil(t * size) + 1` elements have one in
common. Only these are indexed and looked up, and every candidate pair is compared exactly: the
result is complete and contains no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nngpt.novelty.dedup.shingle_sets import Shingles

Ranks = NDArray[np.int32]
_ROUNDING = 1e-9


def rank_shingles(sets: Sequence[Shingles]) -> list[Ranks]:
    """Return shingles as ranks, rarest first, so that near neighbours share early ranks."""
    if not sets:
        return []
    sizes = [len(one) for one in sets]
    known, places, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    order = np.empty(len(known), dtype=np.int32)
    order[np.argsort(counts, kind="stable")] = np.arange(len(known), dtype=np.int32)
    bounds = np.cumsum(sizes)[:-1]
    return [np.sort(part) for part in np.split(order[places], bounds)]


class KeptIndex:
    """Index of the kept networks at one dedup level by their rarest shingles.

    Args:
        sets: all networks of the collection, as `rank_shingles` returns them.
        lowest: lowest threshold of any later query.
    """

    def __init__(self, sets: Sequence[Ranks], lowest: float) -> None:
        self._sets, self._lowest = sets, lowest
        self._holders: dict[int, list[int]] = {}
        highest = max((int(one[-1]) for one in sets if len(one)), default=-1)
        self._marked = np.zeros(highest + 1, dtype=bool)

    def add(self, number: int) -> None:
        """Add the network with this number to the index."""
        for rank in self._prefix(number):
            self._holders.setdefault(rank, []).append(number)

    def neighbours(self, number: int) -> list[tuple[int, float]]:
        """Return (number, similarity) of the kept networks at or above `lowest`."""
        proposed = {
            other
            for rank in self._prefix(number)
            if rank in self._holders
            for other in self._holders[rank]
        }
        if not proposed:
            return []
        mine = self._sets[number]
        size, found = len(mine), []
        self._marked[mine] = True
        for other in sorted(proposed):
            theirs = self._sets[other]
            smaller, larger = sorted((size, len(theirs)))
            if smaller < (self._lowest - _ROUNDING) * larger:
                continue
            shared = int(np.count_nonzero(self._marked[theirs]))
            similarity = shared / (size + len(theirs) - shared)
            if similarity >= self._lowest:
                found.append((other, similarity))
        self._marked[mine] = False
        return found

    def _prefix(self, number: int) -> list[int]:
        ranks = self._sets[number]
        needed = math.ceil(self._lowest * len(ranks) - _ROUNDING)
        prefix: list[int] = ranks[: len(ranks) - needed + 1].tolist()
        return prefix
