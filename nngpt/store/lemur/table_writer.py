"""Write code, device runs and LEMUR's other tables; track which networks are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, LargeBinary, Table, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_once
from sqlalchemy.orm import Session

from nngpt.records import content_hash
from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.mirror import codes
from nngpt.store.lemur.records import KINDS, CodeFile, Count, ImportReport, Kind, RunFile, TableRows
from nngpt.store.lemur_tables import LemurRun

_TABLES: dict[Kind, Table] = {"nn": lemur.nn, "transform": lemur.transform, "metric": lemur.metric}
_NOUNS: dict[Kind, str] = {"nn": "network", "transform": "transform", "metric": "metric"}


class KnownNetworks:
    """Names of networks to which imported statistics may refer.

    Attributes:
        here: names of networks with code in the database.
        other: names for which the source has other or broken code.
    """

    def __init__(self, here: set[str]) -> None:
        self.here = here
        self.other: set[str] = set()

    def mark_broken(self, name: str | None) -> None:
        """Record that the source's code of a network was refused."""
        if name is not None:
            self.other.add(name)

    def refusal_reason(self, name: str) -> str | None:
        """Return why results of a network cannot be stored, or None if they can."""
        if name in self.here:
            return f"the code of its network {name} was refused" if name in self.other else None
        return f"the code of its network {name} is missing"


class CodeWriter:
    """Write LEMUR's code files as rows; stored code is never changed."""

    def __init__(self, session: Session, report: ImportReport) -> None:
        self.networks = KnownNetworks(set(session.scalars(select(lemur.nn.c.name))))
        self._report = report
        counts = (report.networks, report.transforms, report.metrics)
        self._counts: dict[Kind, Count] = dict(zip(KINDS, counts, strict=True))

    def write(self, session: Session, files: list[CodeFile]) -> None:
        """Write a batch of LEMUR's code files."""
        for kind in KINDS:
            mine = [file for file in files if file.kind == kind]
            if mine:
                self._write(session, kind, mine)

    def _write(self, session: Session, kind: Kind, files: list[CodeFile]) -> None:
        table, count = _TABLES[kind], self._counts[kind]
        here = codes(session, table, [file.name for file in files])
        rows = []
        for file in files:
            count.read += 1
            row = {"name": file.name, "code": file.code, "id": content_hash(file.code)}
            present = here.get(file.name)
            if not present:
                # Our own runs store the names of LEMUR's transforms and metrics without code.
                here[file.name] = file.code
                count.new += 1
                if present is None:
                    rows.append(row)
                else:
                    session.execute(update(table).where(table.c.name == file.name).values(row))
            elif present != file.code:
                self._object(file, same=content_hash(present) == row["id"])
        if rows:
            session.execute(insert(table), rows)
        if kind == "nn":
            self.networks.here.update(here)

    def _object(self, file: CodeFile, same: bool) -> None:
        noun = _NOUNS[file.kind]
        if same:
            reason = f"the stored {noun} {file.name} differs in white space, and is kept"
        else:
            reason = f"another {noun} is stored as {file.name}, and is kept"
            if file.kind == "nn":
                self.networks.other.add(file.name)
        self._report.refused.add(file.path, reason)


def write_runs(
    session: Session, files: list[RunFile], networks: KnownNetworks, report: ImportReport
) -> None:
    """Write rows of device runs to LEMUR's table; rows there are never changed."""
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
    """Write rows of LEMUR's tables without files; stored rows are never changed."""
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
    return session.connection().execute(insert_once(table).on_conflict_do_nothing(), rows).rowcount
