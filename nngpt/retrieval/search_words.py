"""Words of code and of questions, alike for both."""

from __future__ import annotations

import re

_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STOP = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "in", "is", "it"),
        *("its", "of", "on", "or", "that", "the", "this", "to", "was", "with", "self", "cls"),
        *("return", "none", "true", "false", "int", "float", "str", "bool", "optional", "tensor"),
        *("torch", "nn", "args", "kwargs"),
    )
)


def words_of(text: str) -> list[str]:
    """Lower-case words of a text; names are taken apart at underscores and capitals.

    `DepthwiseConv2d` gives depthwise, conv, 2, d; a plural loses its s.
    """
    return [_singular(word) for word in map(str.lower, _PIECE.findall(text)) if word not in _STOP]


def words_of_class(name: str, text: str) -> list[str]:
    """What a class is searched by: its name five times, and everything in its text."""
    return [*(5 * [*words_of(name), name.lower()]), *words_of(text)]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
