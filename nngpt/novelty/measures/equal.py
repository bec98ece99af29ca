"""Similarity 1 to an equal text and 0 to any other, for networks that are short words."""

from __future__ import annotations

from nngpt.config import NoveltyConfig
from nngpt.records import Novelty


class EqualTexts:
    """Implements `nngpt.protocols.NoveltyMeasure` by comparing whole texts."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def compare(self, text: str) -> Novelty:
        """Return similarity 1 to the first network with this text, else 0."""
        nearest = self._known.get(text)
        return Novelty(float(nearest is not None), nearest, duplicate=nearest is not None)

    def add(self, key: str, text: str) -> None:
        """Add a network's text, unless an equal one is known."""
        self._known.setdefault(text, key)


def create(config: NoveltyConfig) -> EqualTexts:
    """Return the novelty measure of equal texts; threshold and shingle have no effect."""
    return EqualTexts()
