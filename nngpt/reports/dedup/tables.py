"""Console lines and tables of a deduplication and its skipped items, and of an explanation."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nngpt.errors import readable
from nngpt.novelty.dedup.collection import (
    FAMILY_CAP,
    Collection,
    DedupOutcome,
    DedupSettings,
    Network,
)
from nngpt.novelty.dedup.explanation import Explanation
from nngpt.novelty.dedup.summary import Summary
from nngpt.novelty.shingles import near_duplicate
from nngpt.reports.pages import percent
from nngpt.reports.sheets import right
from nngpt.reports.text import line, plural

_FAMILIES = 12
_SKIPPED, _PAIRS, _DIFF_LINES = 10, 20, 60
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def summary_tables(
    summary: Summary, settings: DedupSettings, outcome: DedupOutcome
) -> Iterator[RenderableType]:
    """Yield a deduplication's headline, pairs, and tables of levels and of larger families."""
    removed = summary.total - summary.kept
    yield Text(
        f"{plural(summary.total, 'network')} in {summary.seconds:.1f} s: "
        f"{summary.kept:,} kept, {removed:,} removed ({removed / summary.total:.1%})"
    )
    yield from _pairs(outcome)
    yield _levels(summary, settings)
    for level, count in summary.unreadable.items():
        yield Text(f"{count:,} cannot be read at level {level}: compared at the other levels only.")
    if summary.families[0].total > 1:
        yield _family_table(summary)
    yield Text(
        "Counts of the whole collection with exact similarities: no sample, so no intervals."
    )


def skipped_lines(collection: Collection) -> Iterator[str]:
    """Yield a table's lines on skipped items: the first by name, then their number."""
    for reason, count in collection.left_out.items():
        yield f"left out: {count:,}, {reason}"
    for skipped in collection.skipped[:_SKIPPED]:
        yield f"skipped: {readable(skipped.where)}: {readable(skipped.reason)}"
    if (more := len(collection.skipped) - _SKIPPED) > 0:
        yield f"skipped: {more:,} more (--json lists all {len(collection.skipped):,})"


def explanation_parts(explanation: Explanation) -> Iterator[RenderableType]:
    """Yield an explanation of two networks: levels, verdict, shared runs of lines, diff."""
    yield Text(f"A: {_who(explanation.one)}\nB: {_who(explanation.other)}")
    yield _level_views(explanation)
    verdict = "Not near-duplicates at any level: both are kept."
    if explanation.verdict is not None:
        kept = "A" if explanation.kept == explanation.one.name else "B"
        verdict = f"Near-duplicates at level {explanation.verdict}: of the two, {kept} is kept."
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
    for text in explanation.diff[:_DIFF_LINES]:
        yield Text(_line(text), style=_COLOURS.get(text[:1], ""))
    if (more := len(explanation.diff) - _DIFF_LINES) > 0:
        yield Text(f"… {plural(more, 'more line')} of the diff (--json has all)")


def threshold(level: str, value: float) -> str:
    """Format the similarity above which a dedup level removes: `0.9`, or `identical`."""
    return "identical" if level == "exact" else f"{value:g}"


def _pairs(outcome: DedupOutcome) -> Iterator[str]:
    """Yield which removed network is like which kept one: the first lines, then their number."""
    pairs = [
        f"{line(one.network.name)} ≈ {line(one.neighbour)} {_short(one.similarity)} {one.level}"
        for one in outcome.removed
        if one.neighbour is not None and one.similarity is not None
    ]
    yield from pairs[:_PAIRS]
    if (more := len(pairs) - _PAIRS) > 0:
        yield f"… {plural(more, 'more pair')} (--json lists all)"


def _short(similarity: float) -> str:
    """Format a similarity with two digits, `1.00` only if it is exactly 1."""
    return f"{similarity if similarity == 1 else min(similarity, 0.99):.2f}"


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
    return threshold(level, settings.thresholds.get(level, settings.threshold))


def _family_table(summary: Summary) -> Table:
    table = Table("family", *right("networks", "kept", "best accuracy"))
    families = summary.families
    several = [family for family in families if family.total > 1]
    shown = several if len(families) <= _FAMILIES else several[: _FAMILIES - 1]
    for family in shown:
        counts = (f"{family.total:,}", f"{family.kept:,}")
        table.add_row(Text(readable(family.name)), *counts, percent(family.best))
    if others := families[len(shown) :]:
        total, kept = sum(f.total for f in others), sum(f.kept for f in others)
        best = max((f.best for f in others if f.best is not None), default=None)
        table.add_row(
            plural(len(others), "other"), f"{total:,}", f"{kept:,}", percent(best), style="dim"
        )
    return table


def _level_views(explanation: Explanation) -> Table:
    pairs = right("tokens A, B", "shingles A, B")
    table = Table("level", *right("similarity", "threshold"), *pairs, *right("shared", "similar"))
    for view in explanation.levels:
        shown, similar = "cannot be read", "–"
        if view.similarity is not None:
            shown = f"{view.similarity:.4f}"
            similar = "yes" if near_duplicate(view.similarity, view.threshold) else "no"
        shared = "–" if view.shared is None else f"{view.shared:,}"
        counts = (_pair(view.tokens), _pair(view.shingles), shared)
        limit = threshold(view.level, view.threshold)
        table.add_row(Text(view.level), shown, limit, *counts, similar)
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
