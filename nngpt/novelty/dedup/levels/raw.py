"""Lexer tokens as they stand: strings and numbers count with their values."""

from __future__ import annotations

from nngpt.novelty import shingles as tokens
from nngpt.novelty.dedup.lines import independent_lines
from nngpt.protocols import DedupLevel


class Raw:
    """Alike if they share runs of tokens; only comments and layout do not count."""

    def pieces(self, code: str) -> list[str]:
        """Its lines, where no token spans two."""
        return independent_lines(code)

    def tokens(self, piece: str) -> list[str]:
        """Lexer tokens with their literals."""
        return tokens.tokens(piece, literals=True)


def create() -> DedupLevel:
    """The level."""
    return Raw()
