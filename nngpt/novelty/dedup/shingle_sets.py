"""Convert a network's code to its set of shingles, as 64-bit numbers."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from nngpt.novelty.shingles import digest
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

        Raises:
            SyntaxError: the level cannot read this code.
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
