"""How far a network is from the nearest known one: examples, corpus, what the adapter has seen.

1 less the exact Jaccard similarity, and 0 for a near-duplicate (`novelty.threshold`). Paid only
for networks that trained: random text is novel, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.finetuning.rewards._trained import network_of
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure
from nngpt.records import Rollout, Task


class CorpusNovelty:
    """Implements `nngpt.protocols.Reward`; what is known does not grow while it learns."""

    low, high = 0.0, 1.0

    def __init__(self, known: NoveltyMeasure) -> None:
        self._known = known

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """1 - Jaccard to the nearest known network."""
        return [self._novelty(rollout) for rollout in group]

    def _novelty(self, rollout: Rollout) -> float:
        network = network_of(rollout)
        if network is None:
            return 0.0
        found = self._known.compare(contract.novelty_text(network))
        return 0.0 if found.duplicate else 1 - found.jaccard


def create(
    task: Task, known: NoveltyMeasure, new_measure: Callable[[], NoveltyMeasure]
) -> CorpusNovelty:
    """Range 0…1."""
    return CorpusNovelty(known)
