"""Near-duplicates by the Jaccard similarity of 10-token shingles (the papers' measure).

The decision always uses the exact similarity. The papers estimate it from MinHash after an LSH
look-up, which misses about one pair in ten. For up to `EXACT_UP_TO` known networks, an inverted
index of shingles is both exact and quick (a few milliseconds among 5,000 networks): nothing is
missed, and `nearest` is truly the nearest network. In a larger collection LSH proposes the networks
to compare; a pair just above the threshold can then be missed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from nngpt.config import NoveltyConfig
from nngpt.novelty.shingles import jaccard, near_duplicate, shingles
from nngpt.plugins import PluginOptions
from nngpt.records import Novelty

if TYPE_CHECKING:
    from datasketch import MinHash

_SCHEME = "affine32"


class ShingleIndex:
    """Inverted index from shingles to the sets that hold them; finds the nearest set exactly."""

    def __init__(self) -> None:
        self._holders: dict[int, array[int]] = {}
        self._sizes = array("i")

    def add(self, shingles: frozenset[int]) -> None:
        """Add a set; sets are numbered from 0 in the order of addition."""
        for shingle in shingles:
            self._holders.setdefault(shingle, array("i")).append(len(self._sizes))
        self._sizes.append(len(shingles))

    def propose(self, shingles: frozenset[int]) -> list[int]:
        """Return the number of the nearest set (the first of equals), [] if none shares any."""
        found = [self._holders[shingle] for shingle in shingles if shingle in self._holders]
        if not found:
            return []
        holders = np.concatenate([np.frombuffer(part, dtype=np.intc) for part in found])
        shared = np.bincount(holders, minlength=len(self._sizes))
        sizes = np.frombuffer(self._sizes, dtype=np.intc)
        return [int(np.argmax(shared / (len(shingles) + sizes - shared)))]


class LSHIndex:
    """MinHash with locality-sensitive hashing; proposes most of the similar sets."""

    def __init__(self, lsh_threshold: float, permutations: int, seed: int) -> None:
        from datasketch import MinHash, MinHashLSH

        self._lsh = MinHashLSH(threshold=lsh_threshold, num_perm=permutations)
        self._count = 0
        # Copied for every set: generating the permutations takes longer than hashing a network.
        self._empty = MinHash(num_perm=permutations, seed=seed, hashfunc=_low_bits, scheme=_SCHEME)

    def add(self, shingles: frozenset[int]) -> None:
        """Add a set; sets are numbered from 0 in the order of addition."""
        self._lsh.insert(self._count, self._minhash(shingles))
        self._count += 1

    def propose(self, shingles: frozenset[int]) -> list[int]:
        """Return the numbers of the sets that share an LSH band with this one, ascending."""
        return sorted(self._lsh.query(self._minhash(shingles)))

    def _minhash(self, shingles: Iterable[int]) -> MinHash:
        minhash = self._empty.copy()
        minhash.update_batch(shingles)
        return minhash


def _low_bits(shingle: int) -> int:
    """Return 32 bits of a shingle, which is a digest already and needs no other hash."""
    return shingle & 0xFFFFFFFF


EXACT_UP_TO = 5_000
"""Number of known networks up to which the exact index is used."""


class Options(PluginOptions):
    """Settings of the minhash measure's LSH look-up (defaults: the papers')."""

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
        return Novelty(best, nearest, duplicate=near_duplicate(best, self._config.threshold))

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
    """Return the minhash novelty measure with no known texts."""
    return MinHashMeasure(config, options)
