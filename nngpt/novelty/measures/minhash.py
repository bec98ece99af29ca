"""Near-duplicates by an estimate of the Jaccard similarity of shingles, as in the papers (A.1).

Locality-sensitive hashing (LSH) of MinHash signatures proposes known networks, and the share of
equal numbers in two signatures estimates their similarity. A network that LSH does not propose
counts as dissimilar, and the estimate has a standard error of up to 0.5/√permutations;
`jaccard` has neither fault (docs/dedup.md compares them).
"""

from __future__ import annotations

from typing import Literal

from datasketch import MinHash, MinHashLSH
from pydantic import Field

from nngpt.config import NoveltyConfig
from nngpt.errors import ConfigError
from nngpt.novelty.shingles import near_duplicate, shingles
from nngpt.plugins import PluginOptions
from nngpt.records import Novelty

_WHERE = "novelty.options"


class Options(PluginOptions):
    """Settings of the MinHash signatures and the LSH look-up (defaults: the papers').

    `scheme` is datasketch's way to hash: another version's default would give other estimates.
    """

    lsh_threshold: float = Field(0.85, gt=0, lt=1)
    permutations: int = Field(256, gt=0)
    seed: int = 1
    scheme: Literal["affine32"] = "affine32"


class MinHashMeasure:
    """Implements `nngpt.protocols.NoveltyMeasure` with datasketch's MinHash and LSH.

    Raises: ConfigError if the permutations are too few for an index with this threshold.
    """

    def __init__(self, config: NoveltyConfig, options: Options) -> None:
        self._config = config
        self._keys: list[str] = []
        self._seen: set[str] = set()
        self._signatures: list[MinHash] = []
        size = options.permutations
        try:
            self._lsh = MinHashLSH(threshold=options.lsh_threshold, num_perm=size)
        except ValueError as error:
            raise ConfigError(f"no LSH index can be made ({error})", where=_WHERE) from None
        # Copied for every set: generating the permutations takes longer than hashing a network.
        self._empty = MinHash(
            num_perm=size, seed=options.seed, hashfunc=low_bits, scheme=options.scheme
        )

    def compare(self, text: str) -> Novelty:
        """Find the known text with the highest estimate; the earliest among equals."""
        signature = self._signature(text)
        best, nearest = 0.0, None
        for number in sorted(self._lsh.query(signature)):
            estimate = float(signature.jaccard(self._signatures[number]))
            if estimate > best:
                best, nearest = estimate, self._keys[number]
        return Novelty(best, nearest, duplicate=near_duplicate(best, self._config.threshold))

    def add(self, key: str, text: str) -> None:
        """Add `text` to the known texts under `key`, unless the key is known already."""
        if key in self._seen:
            return
        signature = self._signature(text)
        self._lsh.insert(len(self._keys), signature)
        self._seen.add(key)
        self._keys.append(key)
        self._signatures.append(signature)

    def _signature(self, text: str) -> MinHash:
        signature = self._empty.copy()
        signature.update_batch(shingles(text, self._config.shingle))
        return signature


def low_bits(shingle: int) -> int:
    """Return 32 bits of a shingle, which is a digest already and needs no other hash."""
    return shingle & 0xFFFFFFFF


def create(config: NoveltyConfig, *, options: Options) -> MinHashMeasure:
    """Return the measure of estimated similarity, with no known texts."""
    return MinHashMeasure(config, options)
