"""Reward 1 for a network that keeps LEMUR's contract and is safe to run, as nngpt reads it."""

from __future__ import annotations

from nngpt.finetuning.rl.scoring import AnswerReward, rung_reward


def create(*_: object) -> AnswerReward:
    """Return the reward `contract`: 1 for rung 2 (contract kept, code safe), else 0."""
    return rung_reward(2)
