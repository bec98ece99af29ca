"""Which networks to show: accurate ones that differ from each other. Nothing here is random."""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Sequence

from nngpt.generation.prompts.known import Known
from nngpt.novelty.shingles import jaccard, shingles


def choose(
    pool: Sequence[Known], count: int, width: int, fits: Callable[[Sequence[Known]], bool]
) -> list[Known]:
    """Up to `count` networks, greedily: quality times distance to the nearest chosen one.

    Distance is 1 minus the exact Jaccard similarity of runs of `width` tokens, so a copy of a
    chosen one is never taken. Of equals the first in `pool` wins. What does not fit beside the
    chosen ones is passed over.
    """
    worth = qualities(pool)
    runs = [shingles(network.text, width) for network in pool]
    distance, chosen = [1.0] * len(pool), list[int]()
    while len(chosen) < count:
        best = max(range(len(pool)), key=lambda i: worth[i] * distance[i], default=None)
        if best is None or worth[best] * distance[best] <= 0:
            break
        if fits([pool[i] for i in [*chosen, best]]):
            chosen.append(best)
            nearer = (1 - jaccard(runs[best], other) for other in runs)
            distance = [min(pair) for pair in zip(distance, nearer, strict=True)]
        distance[best] = 0.0
    return [pool[i] for i in chosen]


def draw(pool: Sequence[Known], seed: int) -> list[Known]:
    """All of `pool` in a random order; the better, the likelier to come early.

    Weighted sampling without replacement (Efraimidis and Spirakis 2006).
    """
    random_numbers = random.Random(seed)
    keys = [random_numbers.random() ** (1 / worth) for worth in qualities(pool)]
    return [pool[i] for i in sorted(range(len(pool)), key=lambda i: -keys[i])]


def qualities(pool: Sequence[Known]) -> list[float]:
    """For each, the share of those measured in the same place that are no better, above 0 to 1."""
    alike: dict[str, list[float]] = defaultdict(list)
    for network in pool:
        insort(alike[network.measured], network.accuracy)
    groups = [alike[network.measured] for network in pool]
    return [
        bisect_right(group, network.accuracy) / len(group)
        for network, group in zip(pool, groups, strict=True)
    ]
