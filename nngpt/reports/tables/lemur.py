"""Console tables of `nngpt lemur`: imports, exports, statistics, trials, neighbours."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console, RenderableType
from rich.table import Column, Table

from nngpt.novelty.signatures import Neighbours
from nngpt.reports.sheets import right
from nngpt.reports.text import plural
from nngpt.store.lemur.mirror_statistics import MirrorStatistics, TrialsOfDataset
from nngpt.store.lemur.records import Examples, ExportReport, ImportReport

_BANDS = ((1, 1), (2, 4), (5, 5), (6, 19), (20, 49), (50, None))
_SMALL_FAMILY = 10
_SHOWN = 10


def import_lines(report: ImportReport) -> Iterator[RenderableType]:
    """Yield an import from LEMUR: a table of items read and new, then refused and ignored ones."""
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
    """Yield the counts of what an export for LEMUR wrote, then the skipped files."""
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


def stats_report(stats: MirrorStatistics, console: Console) -> Iterator[RenderableType]:
    """Yield the output of `nngpt lemur stats`, part by part."""
    box = SIMPLE if console.is_terminal else None
    for line in stats.imports:
        refused = f", {plural(line.refused, 'file')} refused" if line.refused else ""
        began = f"started {line.started}, interrupted or still running"
        ended = f"finished {line.finished}{refused}" if line.finished is not None else began
        yield f"import of {line.source}: {ended}"
    yield (
        f"{plural(stats.networks, 'network')}, {stats.distinct:,} of them distinct apart from "
        f"white space; {plural(stats.transforms, 'transform')}; "
        f"{plural(stats.signatures, 'network')} with a signature"
    )
    yield f"{plural(stats.empty, 'statistics file')} without a trial"
    yield _families(stats.families, box)
    yield _datasets(stats.datasets, box)
    yield _epochs(stats.last_epochs, box)


def _trials_table(rows: Sequence[Mapping[str, Any]], console: Console) -> Table:
    """Return the table of LEMUR trials; every row has the same columns."""
    table = Table(*map(_column, rows[0]), box=SIMPLE if console.is_terminal else None)
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    return table


def print_trials(rows: Sequence[Mapping[str, Any]], total: int, console: Console) -> None:
    """Print LEMUR trials as a console table, and how many of the `total` are shown."""
    if rows:
        console.print(_trials_table(rows, console), markup=False)
    shown = "" if len(rows) == total else f"; {len(rows):,} shown, all with --limit 0"
    console.print(f"{plural(total, 'trial')}{shown}", highlight=False)


def neighbours_table(found: Neighbours, console: Console) -> Table:
    """Return the table of the most similar networks in the LEMUR mirror."""
    box = SIMPLE if console.is_terminal else None
    table = Table(*right("Jaccard", "estimate"), "network", box=box)
    for one in found.nearest:
        table.add_row(f"{one.jaccard:.4f}", f"{one.estimate:.4f}", one.nn)
    return table


def write_json(rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """Write the rows of a console table of LEMUR as JSON, one per line."""
    separator = "[\n"
    for row in rows:
        stream.write(separator + json.dumps(row))
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def write_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """Write LEMUR trials as CSV with a header; hyperparameters are JSON in one cell."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([json.dumps(v) if isinstance(v, dict) else v for v in row.values()])


def _families(families: Mapping[str, int], box: Any) -> Table:
    table = Table("family", *right("networks"), box=box)
    large = {name: count for name, count in families.items() if count >= _SMALL_FAMILY}
    for name, count in large.items():
        table.add_row(name, f"{count:,}")
    if others := len(families) - len(large):
        count = sum(families.values()) - sum(large.values())
        name = f"{others:,} others, with fewer than {_SMALL_FAMILY} networks each"
        table.add_row(name, f"{count:,}")
    return table


def _datasets(datasets: Sequence[TrialsOfDataset], box: Any) -> Table:
    heads = ("networks", "runs", "rows", "best", "median (n)")
    numbers = [Column(name, justify="right", no_wrap=True) for name in heads]
    table = Table("task", "data set", "metric", *numbers, "best network", box=box)
    for one in datasets:
        best = "" if one.best is None else f"{one.best:.4f}"
        median = "" if one.median is None else f"{one.median:.4f} ({one.accuracies:,})"
        counts = (f"{count:,}" for count in (one.networks, one.runs, one.rows))
        names = (one.task, one.dataset, one.metric)
        table.add_row(*map(str, names), *counts, best, median, one.best_nn or "")
    return table


def _epochs(last_epochs: Mapping[int, int], box: Any) -> Table:
    table = Table("last epoch", *right("runs"), box=box)
    for first, last in _BANDS:
        runs = (n for e, n in last_epochs.items() if first <= e and (last is None or e <= last))
        if count := sum(runs):
            name = f"{first} or more" if last is None else f"{first}–{last}"
            table.add_row(str(first) if first == last else name, f"{count:,}")
    return table


def _column(name: str) -> Column:
    number = name in ("epoch", "accuracy", "duration") or name.startswith("prm.")
    head = "duration (s)" if name == "duration" else name
    return Column(head, justify="right" if number else "left", overflow="fold")


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column == "accuracy":
        return f"{value:.4f}"
    if column == "duration":
        return f"{value / 1e9:,.1f}"  # LEMUR counts nanoseconds
    if isinstance(value, dict):
        shown = ((k, f"{v:.4g}" if isinstance(v, float) else v) for k, v in value.items())
        return " ".join(f"{key}={text}" for key, text in shown if key != "transform")
    return f"{value:.6g}" if isinstance(value, float) else str(value)
