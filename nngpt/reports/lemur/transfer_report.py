"""Describe the result of importing or exporting LEMUR data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from nngpt.reports.sheets import right
from nngpt.reports.text import plural
from nngpt.store.lemur.records import Examples, ExportReport, ImportReport

_SHOWN = 10


def import_lines(report: ImportReport) -> Iterator[RenderableType]:
    """Yield a table of items read and new, then the refused and ignored ones."""
    table = Table("", *right("read", "new"), box=None, pad_edge=False)
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
    yield from _examples("Listed twice in one file, stored once", report.duplicates)
    yield from _examples("Refused", report.refused)
    if report.left_alone:
        places = (f"{place} {n:,}" for place, n in sorted(report.left_alone.items()))
        yield f"Not imported (neither code nor results): {', '.join(places)}"


def export_lines(report: ExportReport, target: Path) -> Iterator[RenderableType]:
    """Yield the counts of what was written, then the skipped files."""
    files = f"{plural(report.files, 'file')} ({report.empty:,} empty)"
    parts = (
        plural(report.networks, "network"),
        plural(report.transforms, "transform"),
        plural(report.metrics, "metric"),
        f"{plural(report.rows, 'trial')} in {files}",
        plural(report.runs, "device run"),
    )
    yield f"{target}: {', '.join(parts)} in {report.seconds:,.1f} s"
    yield from _examples("Skipped", report.skipped)


def _examples(title: str, cases: Examples) -> Iterator[str]:
    if cases.count:
        yield f"{title}:"
        yield from (f"  {case.path}: {case.reason}" for case in cases.first[:_SHOWN])
    if cases.count > _SHOWN:
        named = min(cases.count, len(cases.first))
        yield f"  … and {cases.count - _SHOWN:,} more (--json names {named})"
