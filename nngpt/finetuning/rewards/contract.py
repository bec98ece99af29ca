"""Reward 1 for a network that keeps LEMUR's contract and is safe to run, as nngpt reads it."""

from __future__ import annotations

from nngpt.finetuning.rl.reward_terms import RungReward


def create(*_: object) -> RungReward:
    """Return the reward of rung 2: 0 or 1."""
    return RungReward(2)
