"""Reward 1 for a network that trained and gave finite logits for every validation image."""

from __future__ import annotations

from nngpt.finetuning.rl.scoring import AnswerReward, rung_reward


def create(*_: object) -> AnswerReward:
    """Return the reward `trains`: 1 for rung 5 (trained and judged), else 0."""
    return rung_reward(5)
