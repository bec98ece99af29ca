"""Search blocks by the words of their names, docstrings and code (BM25)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nngpt.retrieval.index import LibraryBlock

_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STOP = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "in", "is", "it", "its",
    "of", "on", "or", "that", "the", "this", "to", "was", "with", "self", "cls", "return", "none",
    "true", "false", "int", "float", "str", "bool", "optional", "tensor", "torch", "nn", "args",
    "kwargs",
})  # fmt: skip


@dataclass(frozen=True)
class SearchHit:
    """A block that was found, with its BM25 score."""

    block: LibraryBlock
    score: float


def search(known: Sequence[LibraryBlock], question: str, most: int) -> list[SearchHit]:
    """Return the blocks that match a search best, best first; those that share no word are omitted.

    Equal scores keep the order of `known`, so that the same index gives the same answer.
    """
    import bm25s  # slow to import, and indexing needs only the words

    asked = list(dict.fromkeys([*split_words(question), *question.lower().split()]))
    if not known or not asked:
        return []
    index = bm25s.BM25(method="lucene")
    index.index([block.words.split() for block in known], show_progress=False)
    vocabulary = index.vocab_dict
    shared = [word for word in asked if word in vocabulary]
    if not shared:
        return []
    scores = index.get_scores(shared)
    order = np.argsort(-scores, kind="stable")[:most]
    return [SearchHit(known[place], float(scores[place])) for place in order if scores[place] > 0]


def split_words(text: str) -> list[str]:
    """Return a text's lower-case search words, splitting names at underscores and capitals.

    `DepthwiseConv2d` gives depthwise, conv, 2, d; a plural loses its s.
    """
    return [_singular(word) for word in map(str.lower, _PIECE.findall(text)) if word not in _STOP]


def class_words(name: str, text: str) -> list[str]:
    """Return a class's search words: its name five times, and all words of its text."""
    return [*(5 * [*split_words(name), name.lower()]), *split_words(text)]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
