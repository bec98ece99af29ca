"""No novelty filter: nothing is ever a duplicate (the papers' first ablation)."""

from __future__ import annotations

from nngpt.config import NoveltyConfig
from nngpt.records import Novelty


class NoMeasure:
    """Knows nothing."""

    def compare(self, text: str) -> Novelty:
        """Always new."""
        return Novelty(0.0, None, duplicate=False)

    def add(self, key: str, text: str) -> None:
        """Forget it."""


def create(config: NoveltyConfig) -> NoMeasure:
    """The measure."""
    return NoMeasure()
