"""Reward the distance to the nearest other network of the group, so that copies earn nothing.

The value is 1 minus the exact Jaccard similarity, and 0 for near-duplicates (`novelty.threshold`):
of two copies neither is rewarded. Only networks that trained are rewarded and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.finetuning.rl.scoring import trained_network
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure
from nngpt.records import Rollout, Task


class GroupNovelty:
    """Reward for novelty within the group; implements `nngpt.protocols.Reward`."""

    low, high = 0.0, 1.0

    def __init__(self, new_measure: Callable[[], NoveltyMeasure]) -> None:
        self._new_measure = new_measure

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """Return 1 minus the Jaccard similarity to the nearest other network that trained, or 1."""
        networks = [trained_network(rollout) for rollout in group]
        texts = [contract.novelty_text(n) if n else None for n in networks]
        return [self._novelty(place, texts) for place in range(len(texts))]

    def _novelty(self, place: int, texts: Sequence[str | None]) -> float:
        own = texts[place]
        if own is None:
            return 0.0
        others = self._new_measure()
        for number, text in enumerate(texts):
            if number != place and text is not None:
                others.add(f"answer {number}", text)
        found = others.compare(own)
        return 0.0 if found.duplicate else 1 - found.jaccard


def create(
    task: Task, known: NoveltyMeasure, new_measure: Callable[[], NoveltyMeasure]
) -> GroupNovelty:
    """Return the reward `group-novelty`, which compares a group's answers only; range 0…1."""
    return GroupNovelty(new_measure)
