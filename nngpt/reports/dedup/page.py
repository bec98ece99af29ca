"""A deduplication as one self-contained HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.novelty.dedup.collection import Collection, DedupOutcome, DedupSettings, Removed
from nngpt.novelty.dedup.summary import Cluster, Summary, clusters, summarise
from nngpt.reports.dedup.plots import plots
from nngpt.reports.dedup.tables import threshold
from nngpt.reports.diff import DiffLine, marked_diff
from nngpt.reports.pages import cut, percent, render
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import NONE, plural, similarity

_DIFFS = 30
_MEMBERS, _SMALL = 100, 10
_GROUPS = 1000
_ROWS = 400
_DIFF_LINES = 60
_FAMILIES = 20


@dataclass(frozen=True)
class ShownGroup:
    """A group of near-duplicates as the page shows it.

    Attributes:
        members: table of the removed networks that are listed, the most similar first.
        levels: number of removed networks by level.
        lowest: smallest similarity of a removed network to the kept one.
        example: the removed network compared with the kept one, None for no comparison.
        diff: the first lines of that comparison; `hidden` more are left out.
    """

    cluster: Cluster
    members: Sheet
    levels: Mapping[str, int]
    lowest: float
    example: Removed | None
    diff: Sequence[DiffLine]
    hidden: int


def report(
    collection: Collection, settings: DedupSettings, outcome: DedupOutcome, sources: str = ""
) -> str:
    """Return a deduplication's page, names and code shown as text; `sources`: what was read."""
    summary = summarise(collection, settings, outcome)
    found = clusters(outcome)
    unread = ((cut(s.where), cut(s.reason)) for s in collection.skipped[:_ROWS])
    groups = [_group(c, settings, number < _DIFFS) for number, c in enumerate(found[:_GROUPS])]
    return render(
        "dedup.html",
        sources=sources,
        settings=settings,
        summary=summary,
        collection=collection,
        outcome=outcome,
        tiles=_tiles(summary, len(found)),
        steps=_steps(summary),
        levels=[_level(level, settings) for level in settings.levels],
        plots=plots(settings, outcome, found),
        groups=groups,
        found=found,
        smaller=_smaller(groups[_DIFFS:]),
        families=(_families(summary, 0, _FAMILIES), _families(summary, _FAMILIES, _ROWS)),
        skipped=Sheet("Not read", ("file", "reason"), tuple(unread)),
        diffs=_DIFFS,
    )


def _group(cluster: Cluster, settings: DedupSettings, with_diff: bool) -> ShownGroup:
    members = sorted(cluster.removed, key=lambda r: (-(r.similarity or 0), r.network.name))
    inexact = [r for r in members if r.level != "exact"]
    example = (inexact or members)[-1] if with_diff else None
    lines = marked_diff(cluster.kept, example.network) if example else []
    counts = Counter(r.level for r in members)
    return ShownGroup(
        cluster=cluster,
        members=_members(members[: _MEMBERS if with_diff else _SMALL]),
        levels={level: counts[level] for level in settings.levels if counts[level]},
        lowest=min(r.similarity or 0 for r in members),
        example=example,
        diff=lines[:_DIFF_LINES],
        hidden=max(0, len(lines) - _DIFF_LINES),
    )


def _members(removed: Sequence[Removed]) -> Sheet:
    rows = tuple(
        (cut(r.network.name), r.level, similarity(r.similarity), percent(r.network.accuracy))
        for r in removed
    )
    return Sheet("Removed", ("network", "level", ">similarity", ">accuracy"), rows)


def _smaller(groups: Sequence[ShownGroup]) -> Sheet:
    rows = []
    for group in groups:
        names = ", ".join(row[0] for row in group.members.rows)
        left = len(group.cluster.removed) - len(group.members.rows)
        names += f" and {left:,} more" if left else ""
        kept, size = cut(group.cluster.kept.name), f"{group.cluster.size:,}"
        rows.append((size, kept, names, similarity(group.lowest)))
    columns = (">networks", "kept", "removed", ">lowest similarity")
    return Sheet("Smaller groups", columns, tuple(rows))


def _families(summary: Summary, first: int, end: int) -> Sheet:
    rows = tuple(
        (cut(f.name), f"{f.total:,}", f"{f.kept:,}", percent(f.kept / f.total), percent(f.best))
        for f in summary.families[first:end]
    )
    columns = ("family", ">networks", ">kept", ">share kept", ">best accuracy")
    return Sheet("Families", columns, rows)


def _tiles(summary: Summary, groups: int) -> list[tuple[str, str, str]]:
    total, kept, seconds = summary.total, summary.kept, summary.seconds
    near = "group of near-duplicates" if groups == 1 else "groups of near-duplicates"
    speed = f"{total / seconds:,.0f} networks per second" if seconds else NONE
    found = [
        plural(total, "network").split(),
        (f"{kept:,}", f"kept ({percent(kept / total)})"),
        (f"{total - kept:,}", "removed"),
        (f"{groups:,}", near),
        plural(len(summary.families), "family", "families").split(),
        (f"{seconds:.1f} s", speed),
    ]
    return [(value, label, "") for value, label in found]


def _steps(summary: Summary) -> Sheet:
    rows, left = [("networks", f"{summary.total:,}", "")], summary.total
    for level, count in summary.removed.items():
        left -= count
        rows.append((f"after {level}", f"{left:,}", f"−{count:,}"))
    return Sheet("Steps", ("step", ">left", ">removed"), tuple(rows))


def _level(level: str, settings: DedupSettings) -> str:
    limit = threshold(level, settings.thresholds.get(level, settings.threshold))
    return f"{level}: {limit}" if level == "exact" else f"{level} > {limit}"
