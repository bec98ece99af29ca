"""Two ways to find the known networks that are worth comparing with."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
from datasketch import MinHash, MinHashLSH

from nngpt.config import NoveltyConfig

_SCHEME = "affine32"


class SharedShingles:
    """Every known set by the shingles it holds: proposes the nearest, exactly."""

    def __init__(self) -> None:
        self._holders: dict[int, array[int]] = {}
        self._sizes = array("i")

    def add(self, shingles: frozenset[int]) -> None:
        """Make a set known; sets are numbered from 0 in the order they come."""
        for shingle in shingles:
            self._holders.setdefault(shingle, array("i")).append(len(self._sizes))
        self._sizes.append(len(shingles))

    def proposed(self, shingles: frozenset[int]) -> list[int]:
        """The number of the nearest known set (the first of equals), [] if none shares any."""
        found = [self._holders[shingle] for shingle in shingles if shingle in self._holders]
        if not found:
            return []
        holders = np.concatenate([np.frombuffer(part, dtype=np.intc) for part in found])
        shared = np.bincount(holders, minlength=len(self._sizes))
        sizes = np.frombuffer(self._sizes, dtype=np.intc)
        return [int(np.argmax(shared / (len(shingles) + sizes - shared)))]


class Bands:
    """MinHash with locality-sensitive hashing: proposes most of the sets that are alike."""

    def __init__(self, config: NoveltyConfig) -> None:
        self._config = config
        self._lsh = MinHashLSH(threshold=config.lsh_threshold, num_perm=config.permutations)
        self._count = 0
        # Drawing the permutations takes longer than hashing a network with them.
        self._permutations = MinHash(
            num_perm=config.permutations, seed=config.seed, scheme=_SCHEME
        ).permutations

    def add(self, shingles: frozenset[int]) -> None:
        """Make a set known; sets are numbered from 0 in the order they come."""
        self._lsh.insert(self._count, self._minhash(shingles))
        self._count += 1

    def proposed(self, shingles: frozenset[int]) -> list[int]:
        """Numbers of the known sets that fall into a band with this one, ascending."""
        return sorted(self._lsh.query(self._minhash(shingles)))

    def _minhash(self, shingles: Iterable[int]) -> MinHash:
        minhash = MinHash(
            num_perm=self._config.permutations,
            seed=self._config.seed,
            hashfunc=_low_bits,
            permutations=self._permutations,
            scheme=_SCHEME,
        )
        minhash.update_batch(shingles)
        return minhash


def _low_bits(shingle: int) -> int:
    """A shingle is a digest already: 32 of its bits are a hash as good as any."""
    return shingle & 0xFFFFFFFF
