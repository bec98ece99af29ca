"""Reward the distance to the nearest known network: examples, corpus, networks the adapter learned.

The value is 1 minus the exact Jaccard similarity, and 0 for a near-duplicate (`novelty.threshold`).
Only networks that trained are rewarded: random text is novel, too.
"""

from __future__ import annotations

from nngpt.finetuning.rl.scoring import AnswerReward, trained_network
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure
from nngpt.records import Rollout, Task


def create(task: Task, known: NoveltyMeasure, *_: object) -> AnswerReward:
    """Return the reward `corpus-novelty`: distance to the nearest known network; range 0…1."""

    def novelty(rollout: Rollout) -> float:
        network = trained_network(rollout)
        if network is None:
            return 0.0
        found = known.compare(contract.novelty_text(network))
        return 0.0 if found.duplicate else 1 - found.jaccard

    return AnswerReward(novelty)
