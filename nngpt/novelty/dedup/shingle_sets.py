"""Sets of shingles as 64-bit numbers, and an exact index of the networks kept so far.

The index finds the kept networks above a threshold without comparing all pairs, by prefix
filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): put all shingles into
one order, the rarest first. Two sets with a Jaccard similarity of at least t share at least
t * max(sizes) elements, so their first `size - ceil(t * size) + 1` elements have one in common.
Only these are indexed and looked up, and every candidate pair is compared exactly: the result is
complete and contains no estimate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nngpt.novelty.shingles import digest, near_duplicate
from nngpt.protocols import DedupLevel

Shingles = NDArray[np.uint64]
"""Sorted distinct 64-bit digests, one per run of tokens."""

_MARKS = ('"""', "'''", "\\\n")
_SPANS = re.compile(
    r"#[^\n]*|\\\n|'''.*?'''|\"\"\".*?\"\"\""
    r"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"",
    re.DOTALL,
)
"""Comments, strings and line continuations, which may contain line ends or stray quotes."""

Ranks = NDArray[np.int32]
_ROUNDING = 1e-9


class Shingler:
    """Compute a network's shingles at one dedup level, caching tokens of repeated pieces.

    A shingle's digest is the sum of its tokens' random 64-bit digests, each times a random odd
    constant of its place. Two different runs share a digest with a probability of about 2**-64, so
    comparing digests is comparing runs. (`hash()` would differ between processes.)
    """

    def __init__(self, level: DedupLevel, width: int = 10) -> None:
        self._level = level
        self._factors = [np.uint64(digest(f"place {i}") | 1) for i in range(width)]
        self._tokens: dict[str, int] = {}
        self._pieces: dict[str, Shingles] = {}

    def shingles(self, code: str) -> Shingles:
        """Return the digests of the distinct runs of `width` tokens; shorter code is one run.

        Raises: SyntaxError if the level cannot read this code.
        """
        pieces = self._level.pieces(code)
        if len(pieces) == 1:
            tokens = self._read(pieces[0])  # whole texts rarely repeat
        else:
            tokens = np.concatenate([self._known(piece) for piece in pieces] or [self._read("")])
        width = min(len(self._factors), len(tokens))
        runs = np.zeros(max(1, len(tokens) - width + 1), dtype=np.uint64)
        for place, factor in enumerate(self._factors[:width]):
            runs += tokens[place : place + len(runs)] * factor
        return np.unique(runs)

    def _known(self, piece: str) -> Shingles:
        found = self._pieces.get(piece)
        if found is None:
            found = self._pieces[piece] = self._read(piece)
        return found

    def _read(self, piece: str) -> Shingles:
        tokens = self._level.tokens(piece)
        known = self._tokens
        for token in tokens:
            if token not in known:
                known[token] = digest(token)
        return np.fromiter((known[token] for token in tokens), dtype=np.uint64, count=len(tokens))


def jaccard(one: Shingles, other: Shingles) -> float:
    """Return the Jaccard similarity of two sorted shingle sets, 0…1."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def independent_lines(code: str) -> list[str]:
    """Split code into lines whose sets of shingles a deduplication can make separately.

    Networks repeat each other's lines (LEMUR's 1.26 million lines are 55,000 distinct ones), so
    reading each distinct line once saves most of the work.
    """
    lines = _joined(code) if any(mark in code for mark in _MARKS) else code.split("\n")
    return [line for line in map(str.strip, lines) if line]


def _joined(code: str) -> list[str]:
    lines: list[str] = []
    open_line, position = "", 0
    for span in _SPANS.finditer(code):
        if "\n" not in span[0]:
            continue
        first, *others = code[position : span.start()].split("\n")
        if others:
            lines += [open_line + first, *others[:-1]]
            open_line = others[-1]
        else:
            open_line += first
        open_line += span[0]
        position = span.end()
    first, *others = code[position:].split("\n")
    return [*lines, open_line + first, *others]


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
        """Return (number, similarity) of the kept networks that are near-duplicates at `lowest`."""
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
            if near_duplicate(similarity, self._lowest):
                found.append((other, similarity))
        self._marked[mine] = False
        return found

    def _prefix(self, number: int) -> list[int]:
        ranks = self._sets[number]
        needed = math.ceil(self._lowest * len(ranks) - _ROUNDING)
        prefix: list[int] = ranks[: len(ranks) - needed + 1].tolist()
        return prefix
