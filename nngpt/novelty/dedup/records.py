"""Records of a deduplication: networks, settings, removals, outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FAMILY_CAP = "family cap"
"""Reason for a removal because enough networks of the family are kept."""


@dataclass(frozen=True)
class Network:
    """One network of a collection to deduplicate.

    Attributes:
        name: unique name in the collection.
        family: LEMUR family; caps and some thresholds depend on it.
        accuracy: best recorded accuracy, 0…1; None if unknown. The more accurate network is kept.
        source: origin: a file, a line of a file, or a database.
    """

    name: str
    code: str = field(repr=False)
    family: str
    accuracy: float | None = None
    source: str = ""


@dataclass(frozen=True)
class DedupSettings:
    """How networks are compared; the defaults are those of the papers.

    Attributes:
        levels: names of the levels, cheapest first; similarity at one level is enough.
        threshold: Jaccard similarity at or above which two networks are duplicates, 0…1.
        thresholds: level → its own threshold.
        family_thresholds: family → threshold between two networks of that family (nn-dup uses 0.97
            for fractal networks); the level "exact" ignores them.
        shingle: tokens per shingle.
        per_family: maximum number of networks kept of each family, None for all.
    """

    levels: tuple[str, ...] = ("exact", "lexical")
    threshold: float = 0.9
    thresholds: Mapping[str, float] = field(default_factory=dict)
    family_thresholds: Mapping[str, float] = field(default_factory=dict)
    shingle: int = 10
    per_family: int | None = None


@dataclass(frozen=True)
class Removed:
    """A network that the deduplication did not keep.

    Attributes:
        level: the level at which it is similar to `neighbour`, or `FAMILY_CAP`.
        neighbour: name of the most similar kept network at that level; None for a family cap.
        similarity: exact Jaccard similarity to the neighbour; None for a family cap.
    """

    network: Network
    level: str
    neighbour: str | None
    similarity: float | None


@dataclass(frozen=True)
class DedupOutcome:
    """Result of a deduplication; `kept` and `removed` together are the collection.

    Attributes:
        kept: best first.
        removed: in the order of comparison, best first.
        unreadable: level → names of networks that the level cannot read, which were compared at
            the other levels only.
        seconds: wall time by step.
    """

    kept: tuple[Network, ...]
    removed: tuple[Removed, ...]
    unreadable: Mapping[str, tuple[str, ...]]
    seconds: Mapping[str, float]
