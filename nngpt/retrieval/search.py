"""Search: the blocks whose names, docstrings and code hold the words of a question (BM25)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np

from nngpt.retrieval.catalogue import Block
from nngpt.retrieval.search_words import words_of


@dataclass(frozen=True)
class Hit:
    """A block that was found, with its score; only the order of scores means something."""

    block: Block
    score: float


def search(known: Sequence[Block], question: str, most: int) -> list[Hit]:
    """The `most` best blocks, the best first; none that shares no word with the question.

    Of equals the first in `known` comes first, so that the same index gives the same answer.
    """
    asked = list(dict.fromkeys([*words_of(question), *question.lower().split()]))
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
    return [Hit(known[place], float(scores[place])) for place in order if scores[place] > 0]
