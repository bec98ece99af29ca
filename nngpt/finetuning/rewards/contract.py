"""Reward 1 for a network that keeps LEMUR's contract and is safe to run, as nngpt reads it."""

from __future__ import annotations

from nngpt.finetuning.rl.reward_terms import AnswerReward, rung_reward


def create(*_: object) -> AnswerReward:
    """Return the reward of rung 2: 0 or 1."""
    return rung_reward(2)
