"""Choose and order the known networks that a prompt shows, by quality and diversity."""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Sequence

from nngpt.generation.prompts.known import KnownNetwork

Similarity = Callable[[str, str], float]
"""Similarity of two networks' texts, 0…1."""


def choose_examples(
    pool: Sequence[KnownNetwork],
    count: int,
    similarity: Similarity,
    fits: Callable[[Sequence[KnownNetwork]], bool],
) -> list[KnownNetwork]:
    """Choose up to `count` examples greedily: quality times distance to the nearest chosen one.

    Distance is 1 minus `similarity`, so a copy of a chosen network is never taken. Of equals the
    first in `pool` wins. A network that does not fit beside the chosen ones is skipped. Nothing is
    random.
    """
    quality, texts = quality_ranks(pool), [network.text for network in pool]
    distance, chosen = [1.0] * len(pool), list[int]()
    while len(chosen) < count:
        best = max(range(len(pool)), key=lambda i: quality[i] * distance[i], default=None)
        if best is None or quality[best] * distance[best] <= 0:
            break
        if fits([pool[i] for i in [*chosen, best]]):
            chosen.append(best)
            nearer = (1 - similarity(texts[best], other) for other in texts)
            distance = [min(pair) for pair in zip(distance, nearer, strict=True)]
        distance[best] = 0.0
    return [pool[i] for i in chosen]


def shuffle_by_quality(pool: Sequence[KnownNetwork], seed: int) -> list[KnownNetwork]:
    """Return networks for examples in random order; better ones are more likely to come early.

    Weighted sampling without replacement (Efraimidis and Spirakis 2006).
    """
    generator = random.Random(seed)
    keys = [generator.random() ** (1 / quality) for quality in quality_ranks(pool)]
    return [pool[i] for i in sorted(range(len(pool)), key=lambda i: -keys[i])]


def quality_ranks(pool: Sequence[KnownNetwork]) -> list[float]:
    """Rank possible examples per measurement setting: share (0, 1] equalled or beaten."""
    accuracies: dict[str, list[float]] = defaultdict(list)
    for network in pool:
        insort(accuracies[network.measured], network.accuracy)
    groups = [accuracies[network.measured] for network in pool]
    return [
        bisect_right(group, network.accuracy) / len(group)
        for network, group in zip(pool, groups, strict=True)
    ]
