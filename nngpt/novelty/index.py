"""Two indexes of shingle sets that propose which known networks to compare a new one with."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

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
