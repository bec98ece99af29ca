"""The papers' measure: lexer tokens, strings as STR, numbers as NUM, names as they are."""

from __future__ import annotations

from nngpt.novelty import shingles as tokens
from nngpt.novelty.dedup.lines import independent_lines
from nngpt.protocols import DedupLevel


class Lexical:
    """Alike if they share runs of tokens; comments, layout and literal values do not count."""

    def pieces(self, code: str) -> list[str]:
        """Its lines, where no token spans two."""
        return independent_lines(code)

    def tokens(self, piece: str) -> list[str]:
        """Lexer tokens."""
        return tokens.tokens(piece)


def create() -> DedupLevel:
    """The level."""
    return Lexical()
