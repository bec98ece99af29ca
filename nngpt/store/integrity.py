"""Digests of rows: kept by triggers with every change, compared when a database is opened.

SQLite's own check finds a broken structure, not a flipped bit inside a value. So the table
`nngpt_digest` holds a digest of every row of a run, of the rows that runs write to LEMUR's tables,
and of the schema. Closing a cycle adds its link of a chain: a digest over the previous link, the
cycle, its adapter and the digests of its attempts.

The triggers are temporary ones of nngpt's connections, so an edit by another program is damage too.
"""

from __future__ import annotations

import os
import re
import sqlite3
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nngpt.errors import StoreError, readable, shortened
from nngpt.store.schema import HEAD

TABLES = (
    *("nngpt_run", "nngpt_prompt", "nngpt_code", "nngpt_attempt", "nngpt_epoch"),
    *("nngpt_transition", "nngpt_admission", "nngpt_adapter", "nngpt_cycle"),
    *("nngpt_activity", "nngpt_forecast", "nngpt_confirmation"),
)
"""Tables of runs, all of whose rows have a digest; a table follows those to which it refers."""

_MIRROR = {
    "nn": ("d.key = t.name", "name = NEW.nn"),
    "transform": ("d.key = t.name", "name = NEW.transform"),
    "metric": ("d.key = t.name", "name = NEW.metric"),
    "prm": ("t.uid = substr(d.key, 1, 32) AND t.name = substr(d.key, 34)", "uid = NEW.prm"),
    "stat": ("d.key = t.id", "id = NEW.id"),
}
"""LEMUR's table → how to find a digest's row, and the rows to which a new row of `stat` refers."""

_JSON = {
    "nngpt_run": {"config": "object"},
    "nngpt_prompt": {"body": "object"},
    "nngpt_attempt": {"hyperparameters": "object", "trials": "array"},
    "nngpt_forecast": {"basis": "object"},
    "nngpt_confirmation": {"epochs": "array"},
}
"""Table → column → type of the JSON in it."""

_RULES = {
    "no transition led to its state": """state IS NOT (SELECT after FROM nngpt_transition
        WHERE attempt_id = a.id ORDER BY id DESC LIMIT 1)""",
    "its state and the admissions contradict each other": """(state = 'admitted') <> EXISTS (
        SELECT 1 FROM nngpt_admission AS n WHERE n.attempt_id = a.id
        AND (n.run_id, n.arm, n.content_hash) = (a.run_id, a.arm, a.content_hash))""",
    "its accuracy and its epochs contradict each other": """accuracy IS NOT (
        SELECT accuracy FROM nngpt_epoch WHERE attempt_id = a.id ORDER BY epoch DESC LIMIT 1)
        OR (SELECT count(*) <> max(epoch) FROM nngpt_epoch WHERE attempt_id = a.id)""",
}
"""Contradiction → SQL condition for it in a row `a` of `nngpt_attempt`."""

_CHAIN = """SELECT 'chain', c.run_id || '|' || c.cycle, nngpt_digest(
    (SELECT digest FROM nngpt_digest WHERE table_name = 'chain' AND key = (
        SELECT p.run_id || '|' || p.cycle FROM nngpt_cycle AS p
        WHERE p.run_id = c.run_id AND p.rowid < c.rowid ORDER BY p.rowid DESC LIMIT 1)),
    (SELECT digest FROM nngpt_digest WHERE table_name = 'nngpt_cycle'
        AND key = c.run_id || '|' || c.cycle),
    (SELECT digest FROM nngpt_digest WHERE table_name = 'nngpt_adapter'
        AND key = c.run_id || '|' || c.cycle),
    (SELECT group_concat(hex(digest)) FROM (SELECT d.digest FROM nngpt_attempt AS a
        JOIN nngpt_digest AS d ON d.table_name = 'nngpt_attempt' AND d.key = a.id || ''
        WHERE a.run_id = c.run_id AND a.cycle = c.cycle ORDER BY a.id)))
    FROM nngpt_cycle AS c"""

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name GLOB 'nngpt_*'"
_whole: dict[Path, tuple[int, ...]] = {}
"""Databases that this process found whole, with their states before that (`_state`)."""
_JUST_S = 2.0
"""Age in seconds of a write from which on a file's times tell it from a later one."""
_WHOLE_FILE_BYTES = 64 << 20
"""Size up to which the structure of the whole file is checked, else that of the tables of runs."""
_OWN = "nn GLOB 'nngpt-*'"
"""SQL condition for a row of `stat` that a run wrote."""
_WRITE = re.compile(r'\s*(INSERT|UPDATE)\s+(?:OR\s+\w+\s+)?(?:INTO\s+)?"?(\w+)')
_STORE = "INSERT OR IGNORE INTO nngpt_digest"
_CIRCUMSTANCES = (
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR),
)
"""SQLite's codes of errors that do not come from a file's content."""
_SINCE = "0010"
"""The first schema with digests."""
_USERS = {
    "nngpt_prompt": "prompt_hash = ?",
    "nngpt_code": "code_digest = ?",
    "stat": "id = (SELECT attempt_id FROM nngpt_epoch WHERE stat_id = ?)",
}
"""Table → SQL condition for the attempts that use one of its rows."""


@dataclass(frozen=True)
class Finding:
    """One damage of a database.

    Attributes:
        table: table concerned, or "file".
        key: primary key of the row concerned, its columns separated by "|", or "".
        what: the damage.
        run, cycle, attempt: numbers of the run, cycle and attempt concerned, if they are known.
    """

    table: str
    key: str
    what: str
    run: Any = None
    cycle: Any = None
    attempt: Any = None

    @property
    def line(self) -> str:
        """The finding for the user."""
        known = (("attempt", self.attempt), ("run", self.run), ("cycle", self.cycle))
        place = ", ".join(f"{noun} {n!r}" for noun, n in known if n is not None)
        row = f"{self.table} {self.key}".strip()
        parts = (f"{row} ({place})" if place else row), self.what  # may quote damaged bytes
        return ": ".join(shortened(readable(part), 200) for part in parts)


@dataclass(frozen=True)
class Table:
    """A table as a database has it; `primary` are the columns of its primary key."""

    name: str
    columns: tuple[str, ...]
    primary: tuple[str, ...]

    def key(self, prefix: str = "") -> str:
        """Return the SQL expression of a row's key in `nngpt_digest`."""
        return " || '|' || ".join(prefix + name for name in self.primary) + " || ''"

    @property
    def digest(self) -> str:
        """The SQL expression of a row's digest."""
        return f"nngpt_digest({', '.join(self.columns)})"

    def digests(self, where: str) -> str:
        """Return a query for the rows of `nngpt_digest` that belong to rows of this table.

        It reads the stored row, since SQLite may store another value than was given (0.0 for -0.0).
        """
        return f"SELECT '{self.name}', {self.key()}, {self.digest} FROM {self.name} WHERE {where}"

    @property
    def update(self) -> str:
        """A trigger's statement that renews a row's digest, unless the old row was damaged."""
        old = f"nngpt_digest({', '.join(f'OLD.{name}' for name in self.columns)})"
        return (
            f"UPDATE nngpt_digest SET (key, digest) = (SELECT {self.key()}, {self.digest}"
            f" FROM {self.name} WHERE rowid = NEW.rowid) WHERE table_name = '{self.name}'"
            f" AND key = {self.key('OLD.')} AND digest = {old}"
        )

    def finding(self, key: str, what: str, values: Sequence[Any] = ()) -> Finding:
        """Return a finding about a row, placed by its columns or, if it is lost, by its key."""
        row: dict[str, Any] = dict(zip(self.columns, values, strict=False))
        for name, part in zip(self.primary, key.split("|"), strict=False):
            row.setdefault(name, int(part) if part.isdecimal() else part)
        own = row.get("id")
        return Finding(
            self.name,
            key,
            what,
            own if self.name == "nngpt_run" else row.get("run_id"),
            row.get("cycle"),
            own if self.name == "nngpt_attempt" else row.get("attempt_id"),
        )


def digest(*values: Any) -> bytes:
    """Return a 64-bit digest of values as SQLite stores them."""
    return blake2b(ascii(values).encode(), digest_size=8).digest()


class Triggers:
    """The triggers that keep the digests of the rows that statements on one database write.

    Each is created in a connection when it is needed: that costs a transaction a fraction of a
    millisecond. nngpt deletes no row of a run, so there is no trigger for that.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def prepare(self, db: sqlite3.Connection, statement: str) -> None:
        """Create the trigger for the rows that a statement is about to write, if they have one."""
        found = _WRITE.match(statement)
        verb, name = found.groups() if found else ("", "")
        if name not in TABLES and name not in _MIRROR:
            return
        armed = "SELECT 1 FROM temp.sqlite_master WHERE name = ?"
        if db.execute(armed, (f"digest_{verb}_{name}",)).fetchone():
            return
        if (verb, name) not in self._known:
            self._known[verb, name] = _trigger(db, verb, name)
        if trigger := self._known[verb, name]:
            db.create_function("nngpt_digest", -1, digest, deterministic=True)
            db.execute(trigger)


def _trigger(db: sqlite3.Connection, verb: str, name: str) -> str:
    """Return the statement that creates the trigger of a table's rows, "" if they have none."""
    table, when = next(_read_tables(db, (name,)), None), ""
    if table is None or not any(_read_tables(db, ("nngpt_digest",))):
        return ""
    if verb == "UPDATE":
        steps = [table.update]
    elif name in TABLES:
        steps = [f"{_STORE} {table.digests('rowid = NEW.rowid')}"]
        steps += [f"{_STORE} {_CHAIN} WHERE rowid = NEW.rowid"] * (name == "nngpt_cycle")
    else:
        mirror = _read_tables(db, _MIRROR if name == "stat" else ())
        steps = [f"{_STORE} {t.digests(_MIRROR[t.name][1])}" for t in mirror]
        when = f"WHEN NEW.{_OWN}"
    if not steps:
        return ""
    head = f"CREATE TEMP TRIGGER digest_{verb}_{name} AFTER {verb} ON main.{name} {when}"
    return f"{head} BEGIN {'; '.join(steps)}; END"


def adopt(db: sqlite3.Connection, path: Path) -> None:
    """Compute all digests anew after a migration: the rows are trusted from here on.

    Raises:
        StoreError: rows contradict each other.
    """
    if findings := list(_missing_tables(db)) or list(contradictions(db)):
        raise _damage_error(path, *(finding.line for finding in findings))
    db.create_function("nngpt_digest", -1, digest, deterministic=True)
    db.execute("DELETE FROM nngpt_digest")
    for table in _read_tables(db, TABLES):
        db.execute(f"{_STORE} {table.digests('1')}")
    for table in _read_tables(db, _MIRROR):
        column, _, of_stat = _MIRROR[table.name][1].partition(" = ")
        own = f"{column} IN (SELECT {of_stat} FROM stat AS NEW WHERE {_OWN})"
        db.execute(f"{_STORE} {table.digests(own)}")
    for (cycle,) in db.execute("SELECT rowid FROM nngpt_cycle ORDER BY rowid").fetchall():
        db.execute(f"{_STORE} {_CHAIN} WHERE rowid = ?", (cycle,))
    db.execute(f"{_STORE} VALUES ('schema', '', ?)", (_schema_digest(db),))


class _Connection(sqlite3.Connection):
    """Closes the files in `opened` after itself: closing one drops this process's locks on it."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.opened = ExitStack()

    def close(self) -> None:
        """Close the connection, then the files."""
        with self.opened:
            super().close()


def connect_read_only(path: Path, timeout_s: float = 60) -> _Connection:
    """Open a database that others may be writing to, without writing to it."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
        uri=True,
    )


def check(path: Path) -> None:
    """Check a database that is about to be read or migrated, unless this process has just done so.

    Raises:
        StoreError: the database is damaged, or cannot be read.
    """
    state = _state(path)
    if state and _whole.get(path) == state:
        return
    # Others than read-only connections would clear a damaged log when they are closed.
    try:
        with closing(connect_read_only(path)) as db:
            findings = examine(db)
    except sqlite3.DatabaseError as error:
        raise store_error(path, error) from error
    if findings:
        raise _damage_error(path, *(finding.line for finding in findings))
    _whole[path] = state


def _state(path: Path) -> tuple[int, ...]:
    """Return numbers of which a write changes one, and a minute; () just after a write.

    Files' times come from a clock of perhaps 100 ticks a second, so they do not tell a second write
    in the same tick. The minute lets a disk's damage, which changes none of them, be found later.
    """
    numbers, now_s = [int(time.monotonic() // 60)], time.time()
    for file in (path, path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError):
            found = file.stat()
            if found.st_size:  # an empty log comes and goes with readers
                if abs(now_s - found.st_ctime) < _JUST_S:
                    return ()
                numbers += (found.st_ino, found.st_size, found.st_ctime_ns)
    return tuple(numbers)


def store_error(path: Path, error: BaseException | None) -> StoreError:
    """Return the error to raise for an error of SQLite."""
    if not _is_circumstance(error):
        return _damage_error(path, shortened(readable(str(error)), 200))
    return StoreError(
        f"the database cannot be used ({error})",
        where=str(path),
        hint="Check disk space, permissions, and whether another program holds it",
    )


def _is_circumstance(error: BaseException | None) -> bool:
    """Return True for an error of SQLite that does not come from the file's content."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _CIRCUMSTANCES


def _damage_error(path: Path, *findings: str) -> StoreError:
    """Return the error of a damaged database, which quotes the first finding."""
    others = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    hint = (
        f"Restore the file from a copy; `nngpt cycle check --folder {path.parent}` shows what is"
        " wrong and what can be saved"
    )
    return StoreError(f"the database is damaged: {findings[0]}{others}", where=str(path), hint=hint)


def examine(db: _Connection, thorough: bool = False) -> list[Finding]:
    """Return what is damaged in a database, [] if it is whole.

    Args:
        db: a connection of its own: it is changed.
        thorough: look for contradictions between rows too, as a migration must.
    """
    db.create_function("nngpt_digest", -1, digest, deterministic=True)
    db.execute("BEGIN")
    findings = list(_guarded(_structure(db)))
    if thorough or not findings:
        findings += _guarded(_contents(db))
    if thorough and not findings:
        findings += _guarded(contradictions(db))
    return [_placed(db, finding) for finding in findings]


def _guarded(findings: Iterator[Finding], table: str = "file") -> Iterator[Finding]:
    """Yield findings; that the table cannot be read further is the last."""
    try:
        yield from findings
    except sqlite3.DatabaseError as error:
        if _is_circumstance(error):
            raise
        yield Finding(table, "", str(error))


def _lost_transactions(path: Path, opened: ExitStack) -> int:
    """Return how many transactions SQLite ignores since the write-ahead log is damaged before them.

    A log that ends within its last transaction is no damage: the power failed before its commit.
    Call it while a connection reads the database, which has made the log's index; the index stays
    open in `opened`.
    """
    log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    try:
        with log.open("rb") as file:
            header = file.read(32)
            _, _, page, _, *numbers = struct.unpack(">6I", header[:24])
            last = os.fstat(file.fileno()).st_size - 16
            frames = [
                struct.unpack(">4I", os.pread(file.fileno(), 16, at))
                for at in range(32, last, page + 24)
            ]
            memory = opened.enter_context(index.open("rb"))
            valid = int.from_bytes(memory.read(20)[16:], sys.byteorder)
            if os.pread(file.fileno(), 32, 0) != header:  # a writer began the log anew
                return 0
    except (FileNotFoundError, struct.error):  # no log, or an empty one
        return 0
    salts = tuple(numbers)
    if not _is_sound(header) and frames:  # the log's salts can be read from its frames only
        salts = Counter(frame[2:] for frame in frames).most_common(1)[0][0]
    ends = [n for n, (_, size, *own) in enumerate(frames, 1) if size and tuple(own) == salts]
    lost = sum(end > valid for end in ends)
    return lost if lost > 1 else 0


def _is_sound(header: bytes) -> bool:
    """Return True if the header of a write-ahead log has the checksum that it names."""
    one = other = 0
    words = struct.unpack(f"{'>' if header[3] & 1 else '<'}6I", header[:24])
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + other) & 0xFFFFFFFF
        other = (other + second + one) & 0xFFFFFFFF
    return struct.unpack(">2I", header[24:]) == (one, other)


def _structure(db: _Connection) -> Iterator[Finding]:
    """Let SQLite check pages and indexes, and look for transactions that it ignores."""
    *_, path = db.execute("PRAGMA database_list").fetchone()
    db.execute("SELECT 1 FROM sqlite_master").fetchone()
    if lost := _lost_transactions(Path(path), db.opened):
        yield Finding("file", "", f"a damaged write-ahead log (-wal) hides {lost} transactions")
    pages, size = (db.execute(f"PRAGMA page_{name}").fetchone()[0] for name in ("count", "size"))
    whole = pages * size <= _WHOLE_FILE_BYTES
    for table in ("",) if whole else [f"({table.name})" for table in _read_tables(db, TABLES)]:
        for (line,) in db.execute(f"PRAGMA integrity_check{table}").fetchall():
            if line != "ok":
                yield Finding("file", "", " ".join(line.split()))


def _missing_tables(db: sqlite3.Connection) -> Iterator[Finding]:
    present = {table.name for table in _read_tables(db, (*TABLES, *_MIRROR, "nngpt_digest"))}
    for name in (*TABLES, *_MIRROR, "nngpt_digest"):
        if name not in present:
            yield Finding(name, "", "the table is missing")


def _contents(db: sqlite3.Connection) -> Iterator[Finding]:
    """Compare all rows with their digests, unless the database is older than digests are."""
    (version,) = db.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    if not _SINCE <= str(version) <= HEAD:
        return
    yield from _missing_tables(db)
    known = _known_digests(db)
    if known.get("schema") != {"": _schema_digest(db)}:
        yield Finding("file", "", "the schema is not the one that nngpt made")
    for table in _read_tables(db, (*TABLES, *_MIRROR)):
        columns = ", ".join(f"t.{name}" for name in table.columns)
        query = f"SELECT {table.key('t.')}, {columns} FROM {table.name} AS t"
        if table.name in _MIRROR:
            query = f"""SELECT d.key, {columns} FROM nngpt_digest AS d LEFT JOIN {table.name} AS t
                ON {_MIRROR[table.name][0]} WHERE d.table_name = '{table.name}'"""
        compared = _compare(db, table, query, known.get(table.name, {}))
        yield from _guarded(compared, table.name)
    chain = known.get("chain", {})
    for _, key, value in db.execute(_CHAIN):
        if chain.pop(key, None) != value:
            yield Finding("nngpt_cycle", key, "the chain of digests is broken")


def _compare(
    db: sqlite3.Connection, table: Table, query: str, expected: dict[str, bytes]
) -> Iterator[Finding]:
    """Compare the rows of a query, preceded by their keys, with digests by key."""
    try:
        rows: Iterable[tuple[Any, ...]] = db.execute(query).fetchall()
    except sqlite3.OperationalError:  # a string that is no UTF-8
        db.text_factory = _lenient
        rows = db.execute(query)
    for row in rows:
        known = expected.pop(row[0], None)
        if known != digest(*row[1:]):
            what = "was not stored by nngpt" if known is None else "differs from what was stored"
            yield table.finding(f"{row[0]}", what, row[1:])
    for key in expected:
        yield table.finding(f"{key}", "the row is lost")


def contradictions(db: sqlite3.Connection) -> Iterator[Finding]:
    """Yield rows that contradict each other, whose digests do not tell, or hold no JSON."""
    for table in _read_tables(db, _JSON):
        for column, kind in _JSON[table.name].items():
            wrong = f"CASE WHEN json_valid({column}) THEN json_type({column}) END IS NOT '{kind}'"
            query = f"SELECT {table.key()} FROM {table.name} WHERE {column} NOT NULL AND {wrong}"
            for (key,) in db.execute(query):
                yield Finding(table.name, key, f"{column} is no JSON {kind}")
    for what, condition in _RULES.items():
        for (key,) in db.execute(f"SELECT id || '' FROM nngpt_attempt AS a WHERE {condition}"):
            yield Finding("nngpt_attempt", key, what)
    for table in _read_tables(db, TABLES):
        for _, row, parent, _ in db.execute(f"PRAGMA foreign_key_check({table.name})").fetchall():
            query = f"SELECT {table.key()}, * FROM {table.name} WHERE rowid = ?"
            key, *values = db.execute(query, (row,)).fetchone()
            yield table.finding(key, f"the row of {parent} to which it refers is lost", values)


def delete_row(db: sqlite3.Connection, finding: Finding) -> int:
    """Delete the row of a finding; return the number of rows deleted."""
    (table,) = _read_tables(db, (finding.table,))
    query = f"DELETE FROM {table.name} WHERE {table.key()} = ?"
    return db.execute(query, (finding.key,)).rowcount


def whole_rows(db: sqlite3.Connection) -> Iterator[tuple[Table, tuple[Any, ...] | None]]:
    """Yield every row of runs that is as it was stored, None for one that is not.

    Rows that an unreadable page hides from a scan are looked up by their keys.
    """
    db.text_factory = _lenient
    known = _known_digests(db)
    for table in _read_tables(db, (*_MIRROR, *TABLES)):
        columns = ", ".join(table.columns)
        names, places = ", ".join(table.primary), ", ".join("?" * len(table.primary))
        query = f"SELECT {columns} FROM {table.name} WHERE ({names}) = ({places})"
        for key, value in known.get(table.name, {}).items():
            try:
                row = db.execute(query, key.split("|", len(table.primary) - 1)).fetchone()
            except sqlite3.DatabaseError:
                row = None
            yield table, row if row and digest(*row) == value else None


def _placed(db: sqlite3.Connection, finding: Finding) -> Finding:
    """Add the attempt that a row belongs to or, for a prompt or code, the first that uses it."""
    condition = _USERS.get(finding.table, "id = ?")
    value = finding.key if finding.table in _USERS else finding.attempt
    if value is None or finding.cycle is not None:
        return finding
    query = f"SELECT run_id, cycle, id FROM nngpt_attempt WHERE {condition} ORDER BY id"
    try:
        found = db.execute(query, (value,)).fetchone()
    except sqlite3.DatabaseError:
        return finding
    run, cycle, attempt = found or (None, None, finding.attempt)
    return replace(finding, run=run, cycle=cycle, attempt=attempt)


def _known_digests(db: sqlite3.Connection) -> dict[str, dict[str, bytes]]:
    """Return the stored digests by table and key."""
    known: dict[str, dict[str, bytes]] = {}
    for table, key, value in db.execute("SELECT table_name, key, digest FROM nngpt_digest"):
        known.setdefault(table, {})[key] = value
    return known


def _lenient(raw: bytes) -> str:
    """Decode a string that damage may have left without UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def _schema_digest(db: sqlite3.Connection) -> bytes:
    return digest(*db.execute(f"{_SCHEMA} ORDER BY type, name").fetchall())


def _read_tables(db: sqlite3.Connection, names: Iterable[str]) -> Iterator[Table]:
    """Yield those of the tables that exist."""
    for name in names:
        columns = db.execute(f"PRAGMA table_info({name})").fetchall()
        primary = sorted((place, column) for _, column, *_, place in columns if place)
        if columns:
            yield Table(name, tuple(c[1] for c in columns), tuple(c for _, c in primary))
