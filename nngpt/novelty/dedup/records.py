"""What goes into a deduplication and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FAMILY_CAP = "family cap"
"""The reason for a removal that is not a likeness: the family has its share already."""


@dataclass(frozen=True)
class Network:
    """One network of a collection.

    Attributes:
        name: unique in the collection.
        code: its source text.
        family: networks that came from one origin; caps and some thresholds go by it.
        accuracy: 0…1, the best recorded one; None if unknown. The better one is kept.
        source: where it was read from: a file, a line of a file, or a database.
    """

    name: str
    code: str = field(repr=False)
    family: str
    accuracy: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Settings:
    """How networks are compared (defaults: the papers').

    Attributes:
        levels: names of the levels, cheapest first; a likeness at any of them is enough.
        threshold: smallest Jaccard similarity of two networks that counts as alike, 0…1.
        thresholds: other thresholds by level.
        family_thresholds: other thresholds, by family, for two networks of that family (nn-dup
            takes 0.97 for its fractal networks); they do not touch the level "exact".
        shingle: tokens per shingle.
        per_family: how many networks of a family are kept at most, None for all.
    """

    levels: tuple[str, ...] = ("exact", "lexical")
    threshold: float = 0.9
    thresholds: Mapping[str, float] = field(default_factory=dict)
    family_thresholds: Mapping[str, float] = field(default_factory=dict)
    shingle: int = 10
    per_family: int | None = None


@dataclass(frozen=True)
class Removed:
    """A network that is not kept.

    Attributes:
        network: which.
        level: the level at which it is like `neighbour`, or `FAMILY_CAP`.
        neighbour: name of the kept network nearest to it at that level; None for a family cap.
        similarity: exact Jaccard similarity with it, at or above the threshold; None likewise.
    """

    network: Network
    level: str
    neighbour: str | None
    similarity: float | None


@dataclass(frozen=True)
class Outcome:
    """The result; `kept` and `removed` together are the collection.

    Attributes:
        kept: the best first.
        removed: in the order in which they were looked at, the best first.
        unreadable: by level, the names of networks that it cannot read; they were compared at
            the other levels only.
        seconds: wall time by step.
    """

    kept: tuple[Network, ...]
    removed: tuple[Removed, ...]
    unreadable: Mapping[str, tuple[str, ...]]
    seconds: Mapping[str, float]
