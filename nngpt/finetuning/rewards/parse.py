"""Reward 1 for an answer that holds complete Python, as nngpt parses it."""

from __future__ import annotations

from nngpt.finetuning.rl.reward_terms import RungReward


def create(*_: object) -> RungReward:
    """Return the reward of rung 1: 0 or 1."""
    return RungReward(1)
