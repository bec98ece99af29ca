"""Reward the distance to the nearest known network: examples, corpus, networks the adapter learned.

The value is 1 minus the exact Jaccard similarity, and 0 for a near-duplicate (`novelty.threshold`).
Only networks that trained are rewarded: random text is novel, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.finetuning.rl.reward_terms import trained_network
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure
from nngpt.records import Rollout, Task


class CorpusNovelty:
    """Implements `nngpt.protocols.Reward`; the known networks stay the same during a training."""

    low, high = 0.0, 1.0

    def __init__(self, known: NoveltyMeasure) -> None:
        self._known = known

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """Return 1 minus the Jaccard similarity to the nearest known network, for each answer."""
        return [self._novelty(rollout) for rollout in group]

    def _novelty(self, rollout: Rollout) -> float:
        network = trained_network(rollout)
        if network is None:
            return 0.0
        found = self._known.compare(contract.novelty_text(network))
        return 0.0 if found.duplicate else 1 - found.jaccard


def create(
    task: Task, known: NoveltyMeasure, new_measure: Callable[[], NoveltyMeasure]
) -> CorpusNovelty:
    """Return the reward for these known networks; range 0…1."""
    return CorpusNovelty(known)
