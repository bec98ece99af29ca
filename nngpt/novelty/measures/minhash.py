"""Near-duplicates by the Jaccard similarity of 10-token shingles (the papers' measure).

What is decided is always the exact similarity. The papers estimate it from MinHash after an
LSH look-up, which misses about one pair in ten. Up to `EXACT_UP_TO` known networks an inverted
index of shingles is both exact and quick (a look-up among 5,000 networks takes some
milliseconds), so nothing is missed and the nearest network named is truly the nearest. A larger
collection is looked up through LSH, and only what LSH proposes is compared: then a pair just
above the threshold can be missed, and `nearest` is the nearest of those proposed.
"""

from __future__ import annotations

from nngpt.config import NoveltyConfig
from nngpt.novelty.index import Bands, SharedShingles
from nngpt.novelty.shingles import jaccard, shingles
from nngpt.records import Novelty

EXACT_UP_TO = 5_000


class MinHashMeasure:
    """See the module's docstring; a collection that outgrows `exact_up_to` changes to LSH."""

    def __init__(self, config: NoveltyConfig, exact_up_to: int = EXACT_UP_TO) -> None:
        self._config = config
        self._exact_up_to = exact_up_to
        self._keys: list[str] = []
        self._seen: set[str] = set()
        self._sets: list[frozenset[int]] = []
        self._index: SharedShingles | Bands = SharedShingles()

    def compare(self, text: str) -> Novelty:
        """The nearest known text and its exact similarity; of equals, the first that came."""
        candidate = shingles(text, self._config.shingle)
        best, nearest = 0.0, None
        for number in self._index.proposed(candidate):
            similarity = jaccard(candidate, self._sets[number])
            if similarity > best:
                best, nearest = similarity, self._keys[number]
        return Novelty(best, nearest, duplicate=best > self._config.threshold)

    def add(self, key: str, text: str) -> None:
        """Make `text` known under `key`; a key that is known already is left as it is."""
        if key in self._seen:
            return
        known = shingles(text, self._config.shingle)
        self._seen.add(key)
        self._keys.append(key)
        self._sets.append(known)
        self._index.add(known)
        if len(self._sets) == self._exact_up_to + 1:
            self._index = Bands(self._config)
            for earlier in self._sets:
                self._index.add(earlier)


def create(config: NoveltyConfig) -> MinHashMeasure:
    """The measure, with nothing known yet."""
    return MinHashMeasure(config)
