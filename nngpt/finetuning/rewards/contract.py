"""1 for a network that keeps LEMUR's contract and is safe to run; we read it ourselves."""

from __future__ import annotations

from nngpt.finetuning.rewards._rungs import Rung


def create(*_: object) -> Rung:
    """Range 0…1; nothing in between."""
    return Rung(2)
