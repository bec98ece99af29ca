"""Compare lexer tokens with the values of strings and numbers."""

from __future__ import annotations

from nngpt.novelty import shingles as tokens
from nngpt.novelty.dedup.levels.lexical import Lexical
from nngpt.protocols import DedupLevel


class Raw(Lexical):
    """Compare runs of tokens, ignoring only comments and layout."""

    def tokens(self, piece: str) -> list[str]:
        """Return the lexer tokens with their literals."""
        return tokens.tokens(piece, literals=True)


def create() -> DedupLevel:
    """Create the raw dedup level: lexer tokens with the values of literals."""
    return Raw()
