"""Summarise a deduplication by level and family, and its groups of duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nngpt.novelty.dedup.collection import (
    FAMILY_CAP,
    Collection,
    DedupOutcome,
    DedupSettings,
    Network,
    Removed,
)


@dataclass(frozen=True)
class FamilyCount:
    """Number of a family's networks and of those kept; `best` is its best accuracy or None."""

    name: str
    total: int
    kept: int
    best: float | None


@dataclass(frozen=True)
class Cluster:
    """A kept network and the networks removed as its duplicates."""

    kept: Network
    removed: tuple[Removed, ...]

    @property
    def size(self) -> int:
        """Number of networks, including the kept one."""
        return len(self.removed) + 1


@dataclass(frozen=True)
class Summary:
    """Counts of a deduplication of a whole collection; exact, so without intervals.

    Attributes:
        total: networks compared.
        kept: networks kept.
        removed: level → number removed, in order of the levels; then the family cap, if any.
        unreadable: level → number of networks that it cannot read.
        skipped: files and lines that were not read.
        seconds: wall time of the deduplication.
        families: largest first.
    """

    total: int
    kept: int
    removed: Mapping[str, int]
    unreadable: Mapping[str, int]
    skipped: int
    seconds: float
    families: tuple[FamilyCount, ...]


def summarise(collection: Collection, settings: DedupSettings, outcome: DedupOutcome) -> Summary:
    """Count a deduplication's kept and removed networks by level, family and group."""
    counts = Counter(removed.level for removed in outcome.removed)
    levels = [*settings.levels, *([FAMILY_CAP] if settings.per_family is not None else [])]
    return Summary(
        total=len(outcome.kept) + len(outcome.removed),
        kept=len(outcome.kept),
        removed={level: counts[level] for level in levels},
        unreadable={level: len(names) for level, names in outcome.unreadable.items()},
        skipped=len(collection.skipped),
        seconds=sum(outcome.seconds.values()),
        families=_families(outcome),
    )


def clusters(outcome: DedupOutcome) -> list[Cluster]:
    """Return a dedup summary's groups: kept networks with removed duplicates, largest first."""
    members: dict[str, list[Removed]] = defaultdict(list)
    for removed in outcome.removed:
        if removed.neighbour is not None:
            members[removed.neighbour].append(removed)
    found = [Cluster(kept, tuple(members[kept.name])) for kept in outcome.kept]
    return sorted((c for c in found if c.removed), key=lambda c: (-c.size, c.kept.name))


def dedup_facts(
    collection: Collection, settings: DedupSettings, outcome: DedupOutcome
) -> dict[str, Any]:
    """Return a deduplication's outcome as JSON values, without code."""
    summary = summarise(collection, settings, outcome)
    return {
        "settings": asdict(settings),
        "networks": summary.total,
        "seconds": dict(outcome.seconds),
        "removed_by_level": dict(summary.removed),
        "kept": [_facts(network, without="code") for network in outcome.kept],
        "removed": [
            {**_facts(removed.network, without="code"), **_facts(removed, without="network")}
            for removed in outcome.removed
        ],
        "families": [asdict(family) for family in summary.families],
        "unreadable": {level: list(names) for level, names in outcome.unreadable.items()},
        "left_out": dict(collection.left_out),
        "skipped": [asdict(skipped) for skipped in collection.skipped],
    }


def _facts(record: Network | Removed, without: str) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name != without}


def _families(outcome: DedupOutcome) -> tuple[FamilyCount, ...]:
    everyone = [*outcome.kept, *(removed.network for removed in outcome.removed)]
    totals = Counter(network.family for network in everyone)
    kept = Counter(network.family for network in outcome.kept)
    best: dict[str, float] = {}
    for network in everyone:
        if network.accuracy is not None:
            best[network.family] = max(network.accuracy, best.get(network.family, 0.0))
    counts = [FamilyCount(name, n, kept[name], best.get(name)) for name, n in totals.items()]
    return tuple(sorted(counts, key=lambda f: (-f.total, f.name)))
