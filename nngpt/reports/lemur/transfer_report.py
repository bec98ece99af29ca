"""What an import or export of LEMUR came to, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from nngpt.store.lemur.records import Examples, ExportReport, ImportReport

_SHOWN = 10


def import_lines(report: ImportReport) -> Iterator[RenderableType]:
    """A table of what was read and what is new, then what was refused or left alone."""
    table = Table("", "read", "new", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    counts = {
        "networks": report.networks,
        "transforms": report.transforms,
        "metrics": report.metrics,
        "trials": report.rows,
        "settings": report.settings,
        "empty files": report.empty,
        "device runs": report.runs,
        **report.tables,
    }
    for name, count in counts.items():
        table.add_row(name, f"{count.read:,}", f"{count.new:,}")
    table.add_row("statistics files", f"{report.files:,}", "")
    table.add_row("duplicates", f"{report.duplicates.count:,}", "")
    table.add_row("refused", f"{report.refused.count:,}", "")
    table.add_row("seconds", f"{report.seconds:,.1f}", "")
    yield f"LEMUR from {report.source}"
    yield table
    yield from _examples("Twice in its file, stored once", report.duplicates)
    yield from _examples("Refused", report.refused)
    if report.left_alone:
        places = (f"{place} {n:,}" for place, n in sorted(report.left_alone.items()))
        yield f"Not imported, because it is neither code nor results: {', '.join(places)}"


def export_lines(report: ExportReport, target: Path) -> Iterator[RenderableType]:
    """What was written, then what was skipped."""
    yield (
        f"{target}: {report.networks:,} networks, {report.transforms:,} transforms, "
        f"{report.metrics:,} metrics, {report.rows:,} trials in {report.files:,} files "
        f"({report.empty:,} empty), {report.runs:,} device runs in {report.seconds:,.1f} s"
    )
    yield from _examples("Skipped", report.skipped)


def _examples(title: str, cases: Examples) -> Iterator[str]:
    if cases.count:
        yield f"{title}:"
        yield from (f"  {case.path}: {case.reason}" for case in cases.first[:_SHOWN])
    if cases.count > _SHOWN:
        named = min(cases.count, len(cases.first))
        yield f"  … and {cases.count - _SHOWN:,} more (--json names {named})"
