"""LEMUR's own database, `ab.nn.db`, as an import source.

The database is opened without locks and without files beside it. It stores measurements
(`metric_…`) among the hyperparameters; `file_formats` separates them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from nngpt import files
from nngpt.errors import DataError
from nngpt.store import lemur_tables as lemur
from nngpt.store.database import APPLICATION_ID, connect_immutable
from nngpt.store.lemur.file_formats import split_trial
from nngpt.store.lemur.records import (
    KINDS,
    BrokenFile,
    CodeFile,
    Experiment,
    Item,
    Refused,
    StatFile,
    TableRows,
    TrialRecord,
)

_NEEDED = {"nn", "stat", "prm"}
_OTHER = ("nn_stat", "nn_minhash", "nn_similarity", "run", "prun", "layer_stat")
_STAT = ("task", "dataset", "metric", "nn", "epoch", "accuracy", "duration", "transform", "prm")
_CHUNK = 50_000


class SqliteFile:
    """All rows of the database for which nngpt has tables; implements `ImportSource`.

    Raises: DataError if the database is damaged, in use, nngpt's own, or not LEMUR's.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        _check_complete(path)
        self._db = connect_immutable(path)
        self._db.text_factory = _text
        self._db.row_factory = sqlite3.Row
        with self._reporting_errors():
            self._check()
            self._columns = self._tables()
            if not self._columns.keys() >= _NEEDED:
                raise DataError("is a database, but not LEMUR's", where=self.name)
            self.sha256: str | None = files.digest(path)
            self._others = [name for name in _OTHER if self._has_key(name)]
            ours = {*KINDS, "prm", "stat", "train_stat", *self._others}
            counts = {name: self._count(name) for name in self._columns}
        self.left_alone = {name: n for name, n in counts.items() if n and name not in ours}
        self.total = sum(counts.get(name, 0) for name in KINDS)
        self.total += counts["stat"] + sum(counts[name] // 1000 for name in self._others)

    def items(self) -> Iterator[Item]:
        """Yield code, trials, and rows of the other tables of LEMUR's database."""
        with self._reporting_errors():
            for kind in KINDS:
                if kind in self._columns:
                    for row in self._db.execute(f"SELECT name, code FROM {kind} ORDER BY name"):
                        yield _code(kind, row["name"], row["code"])
            yield from self._statistics()
            for table in self._others:
                yield from self._rows(table)

    def close(self) -> None:
        """Close LEMUR's database."""
        self._db.close()

    def _statistics(self) -> Iterator[Item]:
        measured = self._common_columns("train_stat") if "train_stat" in self._columns else []
        columns = ", ".join(f"s.{name}" for name in ("id", *_STAT))
        columns += "".join(f", t.{name}" for name in measured)
        join = "LEFT JOIN train_stat t ON t.stat_id = s.id" if measured else ""
        order = "s.task, s.dataset, s.metric, s.nn, s.epoch, s.accuracy DESC, s.rowid"
        rows = self._db.execute(f"SELECT {columns} FROM stat s {join} ORDER BY {order}")
        groups = groupby(rows, lambda row: tuple(row[name] for name in _STAT[:5]))
        while chunk := _next_chunk(groups):
            uids = json.dumps(sorted({str(row["prm"]) for _, group in chunk for row in group}))
            settings = self._settings(uids)
            for place, group in chunk:
                yield from _trials(place, group, settings, measured)

    def _settings(self, uids: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        query = "SELECT uid, name, value FROM prm WHERE uid IN (SELECT value FROM json_each(?))"
        # LEMUR repeats a setting for each trial and reads the first.
        for uid, name, value in self._db.execute(f"{query} ORDER BY rowid", (uids,)):
            found.setdefault(uid, {}).setdefault(name, value)
        return found

    def _rows(self, table: str) -> Iterator[TableRows]:
        columns = tuple(self._common_columns(table))
        cursor = self._db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid")
        while rows := cursor.fetchmany(1000):
            yield TableRows(table, table, columns, tuple(tuple(row) for row in rows))

    def _common_columns(self, table: str) -> list[str]:
        """Return the columns that both databases have."""
        ours = lemur.stat.metadata.tables[table].columns.keys()
        return [name for name in ours if name in self._columns[table]]

    def _has_key(self, table: str) -> bool:
        keys = lemur.stat.metadata.tables[table].primary_key.columns.keys()
        return {*keys} <= self._columns.get(table, set())

    def _tables(self) -> dict[str, set[str]]:
        query = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c "
        found: dict[str, set[str]] = {}
        for table, column in self._db.execute(query + "WHERE m.type = 'table'"):
            found.setdefault(table, set()).add(column)
        return found

    def _count(self, table: str) -> int:
        name = table.replace('"', '""')
        return int(self._db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])

    def _check(self) -> None:
        if self._db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
            hint = "Export it with nngpt lemur export, and import the folder"
            raise DataError("is one of nngpt's own databases", where=self.name, hint=hint)
        problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise DataError(f"is damaged ({problem})", where=self.name)

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(f"is damaged ({error})", where=self.name) from None


def _check_complete(path: Path) -> None:
    """Check that no journal contains unfinished changes. Raises: DataError."""
    for suffix in ("-wal", "-journal"):
        beside = Path(f"{path}{suffix}")
        if beside.exists() and beside.stat().st_size:
            hint = "Close the program that uses it, or open it once with sqlite3"
            raise DataError(f"has unfinished changes in {beside.name}", where=str(path), hint=hint)


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _code(kind: Any, name: Any, code: Any) -> Item:
    path = f"{kind} {name}"
    if not isinstance(name, str) or not isinstance(code, str):
        return Refused(path, "its name or code is not a string", name if kind == "nn" else None)
    return CodeFile(path, kind, name, code)


def _next_chunk(groups: Iterator[tuple[Any, Iterator[sqlite3.Row]]]) -> list[Any]:
    """Return the next groups of rows, up to one chunk."""
    chunk, rows = [], 0
    for place, group in groups:
        chunk.append((place, list(group)))
        rows += len(chunk[-1][1])
        if rows >= _CHUNK:
            break
    return chunk


def _trials(
    place: tuple[Any, ...],
    rows: list[sqlite3.Row],
    settings: Mapping[str, Mapping[str, Any]],
    measured: list[str],
) -> Iterator[Item]:
    *names, epoch = place
    path = "stat " + " ".join(map(str, place))
    if not all(isinstance(name, str) and name for name in names) or not isinstance(epoch, int):
        yield Refused(path, "task, dataset, metric, nn or epoch is missing")
        return
    experiment = Experiment(*names)
    trials: list[TrialRecord] = []
    for row in rows:
        try:
            values = _values(row, settings.get(row["prm"], {}), measured)
            trials.append(split_trial(experiment, epoch, values, stat_id=row["id"]))
        except BrokenFile as error:
            yield Refused(f"{path}: {row['id']}", error.what)
    if trials:
        yield StatFile(path, experiment, epoch, tuple(trials))


def _values(row: sqlite3.Row, settings: Mapping[str, Any], measured: list[str]) -> dict[str, Any]:
    """Return the row in the form of a statistics file."""
    values = {**settings, "uid": row["prm"], "accuracy": row["accuracy"]}
    for name in ("duration", "transform"):
        if row[name] is not None:
            values[name] = row[name]
    grouped = {name: row[name] for name in measured if row[name] is not None}
    grouped.pop("stat_id", None)
    if any(isinstance(value, bytes) for value in (*values.values(), *grouped.values(), row["id"])):
        raise BrokenFile("a value is binary or not UTF-8")
    return {**values, "train_stat": grouped} if grouped else values
