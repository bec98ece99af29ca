"""Split code and questions into search words."""

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


def split_words(text: str) -> list[str]:
    """Return the lower-case words of a text, splitting names at underscores and capitals.

    `DepthwiseConv2d` gives depthwise, conv, 2, d; a plural loses its s.
    """
    return [_singular(word) for word in map(str.lower, _PIECE.findall(text)) if word not in _STOP]


def class_words(name: str, text: str) -> list[str]:
    """Return a class's search words: its name five times, and all words of its text."""
    return [*(5 * [*split_words(name), name.lower()]), *split_words(text)]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
