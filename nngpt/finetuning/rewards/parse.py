"""Reward 1 for an answer that holds complete Python, as nngpt parses it."""

from __future__ import annotations

from nngpt.finetuning.rl.scoring import AnswerReward, rung_reward


def create(*_: object) -> AnswerReward:
    """Return the reward `parse`: 1 for rung 1 (complete Python), else 0."""
    return rung_reward(1)
