"""A deduplication as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from nngpt import __version__
from nngpt.novelty.dedup.collection import Collection, readable
from nngpt.novelty.dedup.explanation import unified_diff
from nngpt.novelty.dedup.records import FAMILY_CAP, Network, Outcome, Removed, Settings
from nngpt.novelty.dedup.summary import Cluster, clusters, summarise
from nngpt.reports.dedup.charts import similarity_chart, size_rows

_TEMPLATES = Path(__file__).parents[1] / "templates"
_DIFFS = 30
_MEMBERS = 100
_GROUPS = 1000
_ROWS = 400
_DIFF_LINES = 60
_DIFF_WIDTH = 160


@dataclass(frozen=True)
class DiffLine:
    """A line of a diff: its kind, and its text with the part that changed in the middle."""

    kind: str
    before: str
    changed: str = ""
    after: str = ""


@dataclass(frozen=True)
class Group:
    """A cluster as the page shows it; `diff` compares the kept one with `example`."""

    cluster: Cluster
    members: Sequence[Removed]
    levels: dict[str, int]
    lowest: float
    example: Removed | None
    diff: Sequence[DiffLine]
    hidden: int


def report(collection: Collection, settings: Settings, outcome: Outcome, sources: str = "") -> str:
    """The page; `sources` says where the networks are from. Names and code are shown as text."""
    summary = summarise(collection, settings, outcome)
    found = clusters(outcome)
    groups = [_group(c, settings, number < _DIFFS) for number, c in enumerate(found[:_GROUPS])]
    capped = [r for r in outcome.removed if r.level == FAMILY_CAP]
    return (
        environment()
        .get_template("dedup.html")
        .render(
            title="Near-duplicates",
            sources=sources,
            version=__version__,
            date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            settings=settings,
            summary=summary,
            collection=collection,
            outcome=outcome,
            steps=_steps(summary.total, summary.removed),
            similarity=similarity_chart(settings, outcome),
            sizes=size_rows(found, len(outcome.kept) - len(found)),
            groups=groups,
            found=found,
            capped=capped,
            families=summary.families[:_ROWS],
            skipped=collection.skipped[:_ROWS],
            diffs=_DIFFS,
        )
    )


def diff_lines(cluster: Cluster, member: Removed) -> list[DiffLine]:
    """The differences of a removed network from the kept one, changes inside a line marked."""
    return marked_diff(cluster.kept, member.network)


def marked_diff(one: Network, other: Network) -> list[DiffLine]:
    """Unified diff from one network to another, changes inside a line marked."""
    raw = unified_diff(one, other, context=2)[2:]
    lines: list[DiffLine] = []
    start = 0
    while start < len(raw):
        if raw[start][0] not in "+-":
            kind = "hunk" if raw[start][0] == "@" else "same"
            lines.append(DiffLine(kind, _cut(raw[start])))
            start += 1
            continue
        end = next((i for i in range(start, len(raw)) if raw[i][0] not in "+-"), len(raw))
        lines += _change(raw[start:end])
        start = end
    return lines


def _group(cluster: Cluster, settings: Settings, with_diff: bool) -> Group:
    members = sorted(cluster.removed, key=lambda r: (-(r.similarity or 0), r.network.name))
    inexact = [r for r in members if r.level != "exact"]
    example = (inexact or members)[-1] if with_diff else None
    lines = diff_lines(cluster, example) if example else []
    counts = Counter(r.level for r in members)
    return Group(
        cluster=cluster,
        members=members[:_MEMBERS] if with_diff else members[:10],
        levels={level: counts[level] for level in settings.levels if counts[level]},
        lowest=min(r.similarity or 0 for r in members),
        example=example,
        diff=lines[:_DIFF_LINES],
        hidden=max(0, len(lines) - _DIFF_LINES),
    )


def _change(block: Sequence[str]) -> list[DiffLine]:
    """Removed lines and then added ones; where they pair up, what differs is marked."""
    old = [line for line in block if line[0] == "-"]
    new = [line for line in block if line[0] == "+"]
    if len(old) != len(new):
        return [DiffLine("old" if line[0] == "-" else "new", _cut(line)) for line in block]
    pairs = [_marked(a, b) for a, b in zip(old, new, strict=True)]
    return [a for a, _ in pairs] + [b for _, b in pairs]


def _marked(old: str, new: str) -> tuple[DiffLine, DiffLine]:
    if max(len(old), len(new)) > _DIFF_WIDTH:
        return DiffLine("old", _cut(old)), DiffLine("new", _cut(new))
    shorter = min(len(old), len(new))
    head = next((i for i in range(1, shorter) if old[i] != new[i]), shorter)
    most = shorter - head
    tail = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    return _split("old", old, head, tail), _split("new", new, head, tail)


def _split(kind: str, line: str, head: int, tail: int) -> DiffLine:
    end = len(line) - tail
    return DiffLine(kind, line[:head], line[head:end], line[end:])


def _cut(line: str) -> str:
    return line if len(line) <= _DIFF_WIDTH else f"{line[:_DIFF_WIDTH]} … (+{len(line):,})"


def _steps(total: int, removed: Any) -> list[tuple[str, int, int]]:
    """(what, networks left, networks removed) from the whole collection down to the kept."""
    steps, left = [("collection", total, 0)], total
    for level, count in removed.items():
        left -= count
        steps.append((level, left, count))
    return steps


def environment() -> jinja2.Environment:
    """Jinja2 for pages: everything is escaped, and what would deceive is shown as an escape."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What HTML forbids (NUL, lone surrogates) or what would deceive (bidirectional
        # overrides) appears as an escape; autoescape does the rest.
        finalize=_shown,
    )
    environment.filters["percent"] = _percent
    environment.filters["n"] = lambda value: f"{value:,}"
    return environment


def _shown(value: object) -> object:
    if type(value) is not str:
        return value
    return readable(value.expandtabs(4) if "\t" in value else value)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
