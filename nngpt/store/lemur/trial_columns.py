"""Trials with what they belong to, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Session

from nngpt.store.lemur.queries import Trial, codes, hyperparameters, ids
from nngpt.store.lemur_tables import metric, nn, transform

COLUMNS = (
    "id",
    "task",
    "dataset",
    "metric",
    "metric_code",
    "metric_id",
    "nn",
    "nn_code",
    "nn_id",
    "epoch",
    "accuracy",
    "duration",
    "prm_id",
    "transform_code",
    "transform_id",
    "prm",
)
"""The columns of `ab.nn.api.data`, in its order."""

CODE = ("metric_code", "nn_code", "transform_code")
"""The columns that hold source text."""


def columns_of(session: Session, rows: Sequence[Trial], code: bool) -> dict[str, list[Any]]:
    """The columns of LEMUR's `ab.nn.api.data`, and `transform`, each with a value per trial.

    Equal texts are one object, so the code of a network is in memory once. `prm` holds a dict of
    its own for each trial.

    Args:
        code: False leaves out the columns in `CODE`, and reads no code.
    """
    settings = hyperparameters(session, (row.prm for row in rows))
    columns: dict[str, list[Any]] = {
        **{name: [getattr(row, name) for row in rows] for name in ("id", "epoch", "accuracy")},
        "duration": [row.duration for row in rows],
        "prm": [dict(settings.get(row.prm, {})) for row in rows],
        "prm_id": _shared(rows, "prm"),
    }
    for name in ("task", "dataset", "metric", "nn", "transform"):
        columns[name] = _shared(rows, name)
    for table in (nn, metric, transform):
        columns.update(_belonging(session, table, columns[table.name], code))
    return columns


def _shared(rows: Sequence[Trial], name: str) -> list[str | None]:
    """A column whose equal texts are one object."""
    seen: dict[str | None, str | None] = {}
    return [seen.setdefault(value, value) for value in (getattr(row, name) for row in rows)]


def _belonging(
    session: Session, table: Table, names: Sequence[str | None], code: bool
) -> dict[str, list[Any]]:
    """Hash and code of what is named; None where LEMUR has none of that name."""
    found = {f"{table.name}_id": ids(session, table)}
    if code:
        found[f"{table.name}_code"] = codes(session, table, names)
    return {
        column: [None if name is None else values.get(name) for name in names]
        for column, values in found.items()
    }
