"""Near-duplicates by the exact Jaccard similarity of sets of 10-token shingles.

The papers estimate this similarity (`minhash`). An inverted index of shingles computes it in a few
milliseconds among 5,000 networks: nothing is missed, and `nearest` is truly the nearest network.
"""

from __future__ import annotations

from array import array

import numpy as np

from nngpt.config import NoveltyConfig
from nngpt.novelty.shingles import near_duplicate, shingles
from nngpt.records import Novelty


class JaccardMeasure:
    """Implements `nngpt.protocols.NoveltyMeasure` with an inverted index, from shingles to sets."""

    def __init__(self, config: NoveltyConfig) -> None:
        self._config = config
        self._keys: list[str] = []
        self._seen: set[str] = set()
        self._holders: dict[int, array[int]] = {}
        self._sizes = array("i")

    def compare(self, text: str) -> Novelty:
        """Find the nearest known text and its similarity; the earliest among equals."""
        candidate = shingles(text, self._config.shingle)
        found = [self._holders[shingle] for shingle in candidate if shingle in self._holders]
        if not found:
            return Novelty(0.0, None, duplicate=False)
        holders = np.concatenate([np.frombuffer(part, dtype=np.intc) for part in found])
        shared = np.bincount(holders, minlength=len(self._sizes))
        sizes = np.frombuffer(self._sizes, dtype=np.intc)
        similarities = shared / (len(candidate) + sizes - shared)
        number = int(np.argmax(similarities))
        best = float(similarities[number])
        duplicate = near_duplicate(best, self._config.threshold)
        return Novelty(best, self._keys[number], duplicate=duplicate)

    def add(self, key: str, text: str) -> None:
        """Add `text` to the known texts under `key`, unless the key is known already."""
        if key in self._seen:
            return
        known = shingles(text, self._config.shingle)
        for shingle in known:
            self._holders.setdefault(shingle, array("i")).append(len(self._sizes))
        self._seen.add(key)
        self._keys.append(key)
        self._sizes.append(len(known))


def create(config: NoveltyConfig) -> JaccardMeasure:
    """Return the measure of exact similarity, with no known texts."""
    return JaccardMeasure(config)
