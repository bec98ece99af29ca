"""Search blocks by the words of their names, docstrings and code (BM25)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np

from nngpt.retrieval.catalogue import LibraryBlock
from nngpt.retrieval.search_words import split_words


@dataclass(frozen=True)
class SearchHit:
    """A block that was found, with its BM25 score."""

    block: LibraryBlock
    score: float


def search(known: Sequence[LibraryBlock], question: str, most: int) -> list[SearchHit]:
    """Return the `most` best blocks, best first; blocks that share no word are omitted.

    Equal scores keep the order of `known`, so that the same index gives the same answer.
    """
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
