"""Compare lexer tokens with strings as STR and numbers as NUM: the papers' measure."""

from __future__ import annotations

from nngpt.novelty import shingles as tokens
from nngpt.novelty.dedup.shingle_sets import independent_lines
from nngpt.protocols import DedupLevel


class Lexical:
    """Compare runs of tokens, ignoring comments, layout and literal values."""

    def pieces(self, code: str) -> list[str]:
        """Return the code's lines, joined where a token spans two."""
        return independent_lines(code)

    def tokens(self, piece: str) -> list[str]:
        """Return the tokens without comments; strings as STR, numbers as NUM."""
        return tokens.tokens(piece)


def create() -> DedupLevel:
    """Create the lexical dedup level: lexer tokens without the values of literals."""
    return Lexical()
