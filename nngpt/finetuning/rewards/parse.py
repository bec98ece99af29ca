"""1 for an answer in which there is Python, complete; we parse it ourselves."""

from __future__ import annotations

from nngpt.finetuning.rewards._rungs import Rung


def create(*_: object) -> Rung:
    """Range 0…1; nothing in between."""
    return Rung(1)
