"""Console tables of data: data sets, and a corpus with its exclusions and parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from nngpt.data.loading import DatasetSummary
from nngpt.reports.sheets import right

_MAX_REASONS = 6
_MAX_FAMILIES = 6


def data_sets_table(rows: Sequence[DatasetSummary], box: Box | None) -> Table:
    """Return the table of data sets: shape, classes, images, and whether they are cached."""
    name = Column("data set", no_wrap=True)
    table = Table(name, "shape", "classes", "images", "cached", box=box)
    for row in rows:
        shape = "×".join(map(str, row.shape)) if row.shape else "that of your pictures"
        cached = "yes" if row.cached else "no" if row.shape else "needs --root"
        counts = ("" if count is None else f"{count:,}" for count in (row.classes, row.images))
        table.add_row(row.name, shape, *counts, cached)
    return table


def print_corpus(manifest: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print the console tables of a corpus's data, and the setting that learns it."""
    console.print(_exclusions_table(manifest))
    console.print(_parts_table(manifest))
    train = folder / "train.jsonl"
    line = f"Use it: nngpt cycle run … --set learning.corpus={train}"
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def _exclusions_table(manifest: Mapping[str, Any]) -> Table:
    """Return the table of training data that each step of a corpus build excluded."""
    funnel = manifest["funnel"]
    title = "From the mirror to the corpus"
    table = Table("step", *right("excluded", "left"), "reasons", title=title)
    table.add_row("LEMUR mirror", "", f"{funnel['start']:,}", "")
    for step in funnel["steps"]:
        reasons = [f"{count:,} {reason}" for reason, count in step["reasons"].items()]
        if len(reasons) > _MAX_REASONS:
            rest = list(step["reasons"].values())[_MAX_REASONS:]
            reasons = [*reasons[:_MAX_REASONS], f"{sum(rest):,} for {len(rest)} other reasons"]
        shown = Text("\n".join(reasons) or "–")
        table.add_row(step["step"], f"{step['lost']:,}", f"{step['left']:,}", shown)
    return table


def _parts_table(manifest: Mapping[str, Any]) -> Table:
    """Return a table of a corpus's parts: their networks, pairs and largest families."""
    table = Table("part", *right("networks", "pairs", "share"), "families", title="Parts")
    for part, facts in manifest["splits"].items():
        names = list(facts["families"].items())
        shown = ", ".join(f"{name} {count:,}" for name, count in names[:_MAX_FAMILIES])
        more = f" and {len(names) - _MAX_FAMILIES} more" if len(names) > _MAX_FAMILIES else ""
        numbers = (f"{facts['networks']:,}", f"{facts['pairs']:,}", f"{facts['share']:.1%}")
        table.add_row(part, *numbers, Text(shown + more or "–"))
    return table
