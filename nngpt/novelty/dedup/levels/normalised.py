"""Compare lexer tokens without the names chosen by the programmer.

A name in lower case becomes ID unless it is a keyword or an operation of torch (`torch.cat`,
`F.relu`, `nn.init`). Names with a capital letter are kept: they are layers and classes.
"""

from __future__ import annotations

from keyword import iskeyword

from nngpt.novelty.dedup.levels.lexical import Lexical
from nngpt.protocols import DedupLevel

_TORCH = frozenset({"torch", "nn", "F", "functional", "init", "optim"})


class Normalised(Lexical):
    """Compare runs of tokens, ignoring names of variables, attributes and functions."""

    def tokens(self, piece: str) -> list[str]:
        """Return the lexer tokens with ID for the programmer's names."""
        parts = ["", "", *super().tokens(piece)]
        return [
            _without_name(parts[i], of_torch=parts[i - 1] == "." and parts[i - 2] in _TORCH)
            for i in range(2, len(parts))
        ]


def _without_name(token: str, of_torch: bool) -> str:
    chosen = token.isidentifier() and token.islower() and not iskeyword(token)
    return "ID" if chosen and not of_torch and token not in _TORCH else token


def create() -> DedupLevel:
    """Create the normalised dedup level: lexer tokens without the programmer's names."""
    return Normalised()
