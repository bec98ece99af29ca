"""Write runs on devices, and rows of LEMUR's other tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, LargeBinary, Table
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.code_writer import KnownNetworks
from nngpt.store.lemur.records import Count, ImportReport, RunFile, TableRows
from nngpt.store.lemur_tables import LemurRun


def write_runs(
    session: Session, files: list[RunFile], networks: KnownNetworks, report: ImportReport
) -> None:
    """Write `stat/run` files as rows; stored rows are never changed."""
    runs, places = [], []
    for file in files:
        if reason := networks.refusal_reason(file.row["model_name"]):
            report.refused.add(f"stat/run/{file.path}", reason)
            continue
        runs.append(file.row)
        places.append({"run_id": file.row["id"], "path": file.path, "record": file.record})
    report.runs.read += len(runs)
    if runs:
        report.runs.new += _insert(session, lemur.run, runs)
        _insert(session, LemurRun, places)


def write_table(
    session: Session, item: TableRows, networks: KnownNetworks, report: ImportReport
) -> None:
    """Write rows of a table that has no files; stored rows are never changed."""
    table = lemur.stat.metadata.tables[item.table]
    count = report.tables.setdefault(item.table, Count())
    rows = []
    for values in item.rows:
        row = dict(zip(item.columns, values, strict=True))
        if reason := _refusal_reason(table, row, networks):
            report.refused.add(f"{item.path} {values[0]!r}", reason)
        else:
            rows.append(row)
    count.read += len(rows)
    if rows:
        count.new += _insert(session, table, rows)


def _refusal_reason(table: Table, row: Mapping[str, Any], networks: KnownNetworks) -> str | None:
    """Return why a row cannot be stored, or None if it can."""
    for column in table.columns:
        value = row.get(column.name)
        if value is None:
            if not column.nullable and column.server_default is None:
                return f"has no {column.name}"
        elif isinstance(value, bytes) is not isinstance(column.type, LargeBinary):
            return f"its {column.name} is of the wrong type"
        elif isinstance(column.type, Boolean) and value not in (0, 1):
            return f"its {column.name} is not a boolean"
        elif column.foreign_keys and (reason := networks.refusal_reason(str(value))):
            return reason
    return None


def _insert(session: Session, table: Any, rows: list[Any]) -> int:
    """Insert the rows whose key is not taken, and return their number."""
    return session.connection().execute(insert(table).on_conflict_do_nothing(), rows).rowcount
