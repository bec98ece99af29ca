"""How far a network is from the others of its group, so that one answer for all earns nothing.

1 less the exact Jaccard similarity to the nearest other network of the group, and 0 for
near-duplicates (`novelty.threshold`): of two copies neither earns anything. Paid only for
networks that trained, and compared only with such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.finetuning.rewards._trained import network_of
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure
from nngpt.records import Rollout, Task


class GroupNovelty:
    """Implements `nngpt.protocols.Reward`."""

    low, high = 0.0, 1.0

    def __init__(self, new_measure: Callable[[], NoveltyMeasure]) -> None:
        self._new_measure = new_measure

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """1 - Jaccard to the nearest other network that trained; 1 if there is no other."""
        networks = [network_of(rollout) for rollout in group]
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
    """Range 0…1."""
    return GroupNovelty(new_measure)
