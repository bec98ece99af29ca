"""Reward 1 for a network whose forward pass worked, as its own process reported.

Use a small weight, or none where networks are whole files: the report can be forged.
"""

from __future__ import annotations

from nngpt.finetuning.rl.scoring import AnswerReward, rung_reward


def create(*_: object) -> AnswerReward:
    """Return the reward `forward`: 1 for rung 4 (the forward pass worked), else 0."""
    return rung_reward(4)
