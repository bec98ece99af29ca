"""Which known networks the LLM is asked to change or to cross (`prompt.parents`).

Each batch draws a source by its share: the best of each family of the corpus, the families in turn,
or networks that the run admitted. What cannot be used, or is too long, gives way to the next one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from nngpt.generation.prompts.known import (
    KnownNetwork,
    quality_ranks,
    shuffle_by_quality,
    shuffle_by_weight,
)
from nngpt.records import derive_seed

T = TypeVar("T")

USEFUL = 0.5
"""Share of the highest accuracy below which a network is of no use, however small it is."""

_BEST = 10
"""Number of networks that the source `best` draws from."""


@dataclass(frozen=True)
class Parents:
    """The networks that may be parents in a cycle.

    Attributes:
        shares: `prompt.parents`: share of each source, empty for the default.
        admitted: networks that the run admitted in earlier cycles.
        pool: networks of the corpus.
        dataset: LEMUR's name of the task's data set.
    """

    shares: Mapping[str, float]
    admitted: Sequence[KnownNetwork]
    pool: Sequence[KnownNetwork]
    dataset: str

    def ordered(self, seed: int, turn: int) -> list[KnownNetwork]:
        """Return the networks for a batch's parent, the first choice first.

        Args:
            seed: draws source and network.
            turn: number of the batch, by which the families take turns.
        """
        sources = sorted(self.shares)
        weights = [self.shares[source] for source in sources]
        drawn = shuffle_by_weight(sources, weights, derive_seed(seed, "source of the parent"))
        found = [network for source in drawn for network in self._of(source, seed, turn)]
        return found or shuffle_by_quality(self.admitted or self.pool, seed)

    def _of(self, source: str, seed: int, turn: int) -> list[KnownNetwork]:
        """Return the networks of a source, in random order or by turns."""
        if source == "corpus":
            return self._by_family(turn)
        if source == "admitted":
            return shuffle_by_quality(self.admitted, seed)
        if source == "best":
            found = sorted(self.admitted, key=lambda network: -network.accuracy)[:_BEST]
        else:
            found = pareto_front(self.admitted, _size, lambda network: network.accuracy)
        random.Random(seed).shuffle(found)
        return found

    def _by_family(self, turn: int) -> list[KnownNetwork]:
        """Return the corpus network by network, family by family, beginning with the turn's family.

        In a family, networks measured on the task's data set come first, then the more accurate
        ones; families come in the order of their best networks.
        """
        quality = quality_ranks(self.pool)
        order = sorted(
            range(len(self.pool)),
            key=lambda i: (self.pool[i].dataset != self.dataset, -quality[i]),
        )
        families: dict[str, list[KnownNetwork]] = {}
        for i in order:
            families.setdefault(self.pool[i].family, []).append(self.pool[i])
        names = list(families)
        first = turn % len(names) if names else 0
        return [one for name in [*names[first:], *names[:first]] for one in families[name]]


def pareto_front(
    items: Iterable[T], cost: Callable[[T], float], value: Callable[[T], float]
) -> list[T]:
    """Return the items of more value than all that cost no more, the cheapest first.

    Of equals the first counts.
    """
    kept: list[T] = []
    for one in sorted(items, key=lambda item: (cost(item), -value(item))):
        if not kept or value(one) > value(kept[-1]):
            kept.append(one)
    return kept


def _size(network: KnownNetwork) -> float:
    """Return the number of parameters; unknown ones count as the most."""
    return network.parameters or math.inf
