"""Console tables of a deduplication and its skipped items, and of an explanation."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nngpt.errors import readable
from nngpt.novelty.dedup.collection import FAMILY_CAP, Collection, DedupSettings, Network
from nngpt.novelty.dedup.explanation import Explanation
from nngpt.novelty.dedup.summary import Summary
from nngpt.novelty.shingles import near_duplicate
from nngpt.reports.pages import percent
from nngpt.reports.sheets import right

_FAMILIES = 12
_SKIPPED = 10
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def summary_tables(summary: Summary, settings: DedupSettings) -> Iterator[RenderableType]:
    """Yield a deduplication's headline, and its tables of levels and families."""
    removed = summary.total - summary.kept
    yield Text(
        f"{summary.total:,} networks in {summary.seconds:.1f} s: "
        f"{summary.kept:,} kept, {removed:,} removed ({removed / summary.total:.1%})"
    )
    yield _levels(summary, settings)
    for level, count in summary.unreadable.items():
        yield Text(f"{count:,} cannot be read at level {level}: compared at the other levels only.")
    yield _family_table(summary)
    yield Text(
        "Counts of the whole collection with exact similarities: no sample, so no intervals."
    )


def skipped_lines(collection: Collection) -> Iterator[str]:
    """Yield a table's lines on skipped items: the first by name, then their number."""
    for reason, count in collection.left_out.items():
        yield f"left out: {count:,} networks, {reason}"
    for skipped in collection.skipped[:_SKIPPED]:
        yield f"skipped: {readable(skipped.where)}: {readable(skipped.reason)}"
    if (more := len(collection.skipped) - _SKIPPED) > 0:
        yield f"skipped: {more:,} more (--json lists all {len(collection.skipped):,})"


def explanation_parts(explanation: Explanation) -> Iterator[RenderableType]:
    """Yield an explanation of two networks: levels, verdict, shared runs of lines, diff."""
    yield Text(f"A: {_who(explanation.one)}\nB: {_who(explanation.other)}")
    yield _level_views(explanation)
    verdict = "Not alike at any level: both are kept."
    if explanation.verdict is not None:
        kept = "A" if explanation.kept == explanation.one.name else "B"
        verdict = f"Alike at level {explanation.verdict}: of the two, {kept} is kept."
    yield Text(verdict, style="bold")
    if explanation.runs:
        yield Text("\nLongest runs of lines in both (layout aside):")
    for run in explanation.runs:
        yield Text(
            f"  {run.lines:>5} lines, A from line {run.first_line}, B from line {run.second_line}: "
            f"{_line(run.text[0].strip())[:60]}"
        )
    yield Text("")
    if not explanation.diff:
        yield Text("No line differs.")
    for line in explanation.diff:
        yield Text(_line(line), style=_COLOURS.get(line[:1], ""))


def _levels(summary: Summary, settings: DedupSettings) -> Table:
    table = Table("level", *right("threshold", "removed", "left"))
    left = summary.total
    for level, count in summary.removed.items():
        left -= count
        table.add_row(Text(level), _limit(level, settings), f"{count:,}", f"{left:,}")
    return table


def _limit(level: str, settings: DedupSettings) -> str:
    if level == FAMILY_CAP:
        return f"{settings.per_family:,} a family"
    if level == "exact":
        return "identical"
    return f"{settings.thresholds.get(level, settings.threshold):g}"


def _family_table(summary: Summary) -> Table:
    table = Table("family", *right("networks", "kept", "best accuracy"))
    families = summary.families
    shown = families if len(families) <= _FAMILIES else families[: _FAMILIES - 1]
    for family in shown:
        counts = (f"{family.total:,}", f"{family.kept:,}")
        table.add_row(Text(readable(family.name)), *counts, percent(family.best))
    if others := families[len(shown) :]:
        total, kept = sum(f.total for f in others), sum(f.kept for f in others)
        best = max((f.best for f in others if f.best is not None), default=None)
        row = f"{len(others):,} others"
        table.add_row(row, f"{total:,}", f"{kept:,}", percent(best), style="dim")
    return table


def _level_views(explanation: Explanation) -> Table:
    pairs = right("tokens A, B", "shingles A, B")
    table = Table("level", *right("similarity", "threshold"), *pairs, *right("shared", "alike"))
    for view in explanation.levels:
        shown, alike = "cannot be read", "–"
        if view.similarity is not None:
            shown = f"{view.similarity:.4f}"
            alike = "yes" if near_duplicate(view.similarity, view.threshold) else "no"
        shared = "–" if view.shared is None else f"{view.shared:,}"
        counts = (_pair(view.tokens), _pair(view.shingles), shared)
        table.add_row(Text(view.level), shown, f"{view.threshold:g}", *counts, alike)
    return table


def _who(network: Network) -> str:
    facts = f"family {network.family}"
    if network.accuracy is not None:
        facts += f", accuracy {percent(network.accuracy)}"
    return readable(f"{network.name} ({facts})")


def _pair(values: tuple[int | None, int | None]) -> str:
    return ", ".join("–" if value is None else f"{value:,}" for value in values)


def _line(text: str) -> str:
    return readable(text.expandtabs(4))
