"""Table of `nngpt data list`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import Box
from rich.table import Column, Table

from nngpt.data.data_sets import DatasetSummary


def data_sets_table(rows: Sequence[DatasetSummary], box: Box | None) -> Table:
    """Return the table of data sets: shape, classes, images, and whether they are cached."""
    name = Column("data set", no_wrap=True)
    table = Table(name, "shape", "classes", "images", "cached", box=box)
    for row in rows:
        shape = "×".join(map(str, row.shape)) if row.shape else "that of your pictures"
        cached = "yes" if row.cached else "no" if row.shape else "needs --root"
        table.add_row(row.name, shape, _number(row.classes), _number(row.images), cached)
    return table


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
