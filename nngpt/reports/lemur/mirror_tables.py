"""Show the mirror's statistics, trials and neighbours as tables, JSON or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console, RenderableType
from rich.table import Column, Table

from nngpt.novelty.signatures import Neighbours
from nngpt.reports.sheets import right
from nngpt.reports.text import plural
from nngpt.store.lemur.mirror_statistics import MirrorStatistics, TrialsOfDataset

_BANDS = ((1, 1), (2, 4), (5, 5), (6, 19), (20, 49), (50, None))
_SMALL_FAMILY = 10


def stats_report(stats: MirrorStatistics, console: Console) -> Iterator[RenderableType]:
    """Yield the output of `nngpt lemur stats`, piece by piece."""
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


def trials_table(rows: Sequence[Mapping[str, Any]], console: Console) -> Table:
    """Return the table of trials; every row has the same columns."""
    table = Table(*map(_column, rows[0]), box=SIMPLE if console.is_terminal else None)
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    return table


def print_trials(rows: Sequence[Mapping[str, Any]], total: int, console: Console) -> None:
    """Print the trials as a table, and how many of the `total` are shown."""
    if rows:
        console.print(trials_table(rows, console), markup=False)
    shown = "" if len(rows) == total else f"; {len(rows):,} shown, all with --limit 0"
    console.print(f"{plural(total, 'trial')}{shown}", highlight=False)


def neighbours_table(found: Neighbours, console: Console) -> Table:
    """Return the table of the most similar networks."""
    table = Table(
        *right("Jaccard", "estimate"), "network", box=SIMPLE if console.is_terminal else None
    )
    for one in found.nearest:
        table.add_row(f"{one.jaccard:.4f}", f"{one.estimate:.4f}", one.nn)
    return table


def write_json(rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """Write a JSON list with one trial per line, so that it can also be read line by line."""
    separator = "[\n"
    for row in rows:
        stream.write(separator + json.dumps(row))
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def write_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """Write CSV with a header; hyperparameters are JSON in one cell."""
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
