"""Read trials with their hyperparameters, code and hashes, column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Session

from nngpt.errors import UserError, nearest
from nngpt.store.lemur.mirror import TrialRow, codes, hyperparameters, ids
from nngpt.store.lemur_tables import metric, nn, transform

COLUMNS = (
    *("id", "task", "dataset", "metric", "metric_code", "metric_id", "nn", "nn_code", "nn_id"),
    *("epoch", "accuracy", "duration", "prm_id", "transform_code", "transform_id", "prm"),
)
"""Columns of `ab.nn.api.data`, in its order."""

CODE = ("metric_code", "nn_code", "transform_code")
"""Columns that contain source text."""

PARAMETER = "prm."
"""Prefix of columns that hold one hyperparameter, such as `prm.lr`."""

PLAIN = tuple(
    shown
    for name in COLUMNS
    if name not in CODE
    for shown in (("transform", name) if name == "prm" else (name,))
)
"""All columns without code, and the name of the transform."""


IN_TABLE = ("dataset", "metric", "nn", "epoch", "accuracy", "duration", "transform", "prm")
"""Columns of a table on a terminal, unless others are chosen."""


def choose_columns(given: str | None, table: bool, code: bool) -> list[str]:
    """Return the trial columns to read, without repetitions; `code` adds the code.

    Args:
        given: names separated by commas; None for the default columns.
        table: whether they are for a table on a terminal.

    Raises: UserError if there is no name, or an unknown one, or a table would contain code.
    """
    if code and table:
        raise UserError("a table has no room for code", where="--code", hint="Add --json or --csv")
    names: Sequence[str] = IN_TABLE if table else PLAIN
    if given is not None:
        names = [name.strip() for name in given.split(",") if name.strip()]
    known = (*PLAIN, *CODE)
    for name in names:
        if name not in known and not name.startswith(PARAMETER):
            hint = nearest(name, [*known, f"{PARAMETER}lr"])
            raise UserError(f"no column {name!r}", where="--columns", hint=hint)
    if not names:
        hint = f"Known: {', '.join(PLAIN)}"
        raise UserError("names no column", where="--columns", hint=hint)
    return list(dict.fromkeys([*names, *(CODE if code else ())]))


def read_rows(
    session: Session, rows: Sequence[TrialRow], names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the named trial columns, a row per trial; code is read only if named."""
    columns = read_columns(session, rows, code=any(name in CODE for name in names))
    for name in names:
        if name.startswith(PARAMETER):
            key = name.removeprefix(PARAMETER)
            columns[name] = [values.get(key) for values in columns["prm"]]
    for values in zip(*(columns[name] for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def read_columns(session: Session, rows: Sequence[TrialRow], code: bool) -> dict[str, list[Any]]:
    """Return the trial columns of LEMUR's `ab.nn.api.data`.

    Equal strings are shared, so each network's code is in memory once. `prm` contains a separate
    dict for each trial.

    Args:
        code: False omits the columns in `CODE` and reads no code.
    """
    settings = hyperparameters(session, (row.prm for row in rows))
    columns: dict[str, list[Any]] = {
        **{name: [getattr(row, name) for row in rows] for name in ("id", "epoch", "accuracy")},
        "duration": [row.duration for row in rows],
        "prm": [dict(settings.get(row.prm, {})) for row in rows],
        "prm_id": _shared_strings(rows, "prm"),
    }
    for name in ("task", "dataset", "metric", "nn", "transform"):
        columns[name] = _shared_strings(rows, name)
    for table in (nn, metric, transform):
        columns.update(_code_columns(session, table, columns[table.name], code))
    return columns


def _shared_strings(rows: Sequence[TrialRow], name: str) -> list[str | None]:
    """Return a column in which equal strings are one object."""
    seen: dict[str | None, str | None] = {}
    return [seen.setdefault(value, value) for value in (getattr(row, name) for row in rows)]


def _code_columns(
    session: Session, table: Table, names: Sequence[str | None], code: bool
) -> dict[str, list[Any]]:
    """Return hash and code of each name, None where LEMUR does not define it."""
    found = {f"{table.name}_id": ids(session, table)}
    if code:
        found[f"{table.name}_code"] = codes(session, table, names)
    return {
        column: [None if name is None else values.get(name) for name in names]
        for column, values in found.items()
    }
