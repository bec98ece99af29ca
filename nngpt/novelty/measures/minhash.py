"""Near-duplicates by the Jaccard similarity of 10-token shingles (the papers' measure).

The decision always uses the exact similarity. The papers estimate it from MinHash after an LSH
look-up, which misses about one pair in ten. For up to `EXACT_UP_TO` known networks, an inverted
index of shingles is both exact and quick (a few milliseconds among 5,000 networks): nothing is
missed, and `nearest` is truly the nearest network. In a larger collection LSH proposes the networks
to compare; a pair just above the threshold can then be missed.
"""

from __future__ import annotations

from pydantic import Field

from nngpt.config import NoveltyConfig
from nngpt.novelty.index import LSHIndex, ShingleIndex
from nngpt.novelty.shingles import jaccard, shingles
from nngpt.plugins import PluginOptions
from nngpt.records import Novelty

EXACT_UP_TO = 5_000
"""Number of known networks up to which the exact index is used."""


class Options(PluginOptions):
    """Settings of the LSH look-up (defaults: the papers')."""

    lsh_threshold: float = Field(0.85, gt=0, lt=1)
    permutations: int = Field(256, gt=0)
    seed: int = 1


class MinHashMeasure:
    """Implements `nngpt.protocols.NoveltyMeasure`; beyond `exact_up_to` texts it uses LSH."""

    def __init__(
        self,
        config: NoveltyConfig,
        options: Options = Options(),  # noqa: B008 (frozen)
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        self._config = config
        self._options = options
        self._exact_up_to = exact_up_to
        self._keys: list[str] = []
        self._seen: set[str] = set()
        self._sets: list[frozenset[int]] = []
        self._index: ShingleIndex | LSHIndex = ShingleIndex()

    def compare(self, text: str) -> Novelty:
        """Find the nearest known text and its exact similarity; the earliest among equals."""
        candidate = shingles(text, self._config.shingle)
        best, nearest = 0.0, None
        for number in self._index.propose(candidate):
            similarity = jaccard(candidate, self._sets[number])
            if similarity > best:
                best, nearest = similarity, self._keys[number]
        return Novelty(best, nearest, duplicate=best > self._config.threshold)

    def add(self, key: str, text: str) -> None:
        """Add `text` to the known texts under `key`, unless the key is known already."""
        if key in self._seen:
            return
        known = shingles(text, self._config.shingle)
        self._seen.add(key)
        self._keys.append(key)
        self._sets.append(known)
        self._index.add(known)
        if len(self._sets) == self._exact_up_to + 1:
            self._index = LSHIndex(**self._options.model_dump())
            for earlier in self._sets:
                self._index.add(earlier)


def create(config: NoveltyConfig, *, options: Options) -> MinHashMeasure:
    """Return the measure with no known texts."""
    return MinHashMeasure(config, options)
