"""No novelty filter: nothing is ever a near-duplicate; exact copies are still refused untrained."""

from __future__ import annotations

from nngpt.config import NoveltyConfig
from nngpt.records import Novelty


class NoMeasure:
    """Implements `nngpt.protocols.NoveltyMeasure` without comparing anything."""

    def compare(self, text: str) -> Novelty:
        """Return similarity 0 for any text."""
        return Novelty(0.0, None, duplicate=False)

    def add(self, key: str, text: str) -> None:
        """Ignore the text."""


def create(config: NoveltyConfig) -> NoMeasure:
    """Return the novelty measure that compares nothing; the settings have no effect."""
    return NoMeasure()
