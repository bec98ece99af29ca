"""1 for a network that trained and gave a finite answer to every validation image."""

from __future__ import annotations

from nngpt.finetuning.rewards._rungs import Rung


def create(*_: object) -> Rung:
    """Range 0…1; nothing in between."""
    return Rung(5)
