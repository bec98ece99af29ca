"""Compare lexer tokens with the values of strings and numbers."""

from __future__ import annotations

from nngpt.novelty import shingles as tokens
from nngpt.novelty.dedup.lines import independent_lines
from nngpt.protocols import DedupLevel


class Raw:
    """Compare runs of tokens, ignoring only comments and layout."""

    def pieces(self, code: str) -> list[str]:
        """Return the code's lines, joined where a token spans two."""
        return independent_lines(code)

    def tokens(self, piece: str) -> list[str]:
        """Return the lexer tokens with their literals."""
        return tokens.tokens(piece, literals=True)


def create() -> DedupLevel:
    """Create the level."""
    return Raw()
