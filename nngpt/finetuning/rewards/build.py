"""1 for a network that could be built within the budget.

Its own process says so: weigh it lightly, or not at all where networks are whole files.
"""

from __future__ import annotations

from nngpt.finetuning.rewards._rungs import Rung


def create(*_: object) -> Rung:
    """Range 0…1; nothing in between."""
    return Rung(3)
