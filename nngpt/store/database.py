"""The SQLite database: recognise, create, open and migrate its file; read and write transactions.

- WAL: readers never wait for a writer.
- `synchronous=FULL`: a commit survives a power cut and costs about 1 ms. A run commits a few
  times per candidate, and one commit may stand for minutes of training.
- A write begins with `BEGIN IMMEDIATE`, so it holds the lock before it reads anything.
- Each transaction has a connection of its own. For the length of a lease one connection for reading
  stays open (`Database.hold`); forked processes close their copy of it.
"""

from __future__ import annotations

import fcntl
import math
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    Pool,
    QueuePool,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.util import LRUCache

from nngpt import files
from nngpt.errors import NngptError, StoreError
from nngpt.store import integrity, schema

_BUSY_TIMEOUT_S = 60
APPLICATION_ID = int.from_bytes(b"nngp")
"""SQLite application id of nngpt's databases, at byte 68 of the file."""

_MAGIC = b"SQLite format 3\0"
_OTHER_PATH = "Give another path"
_READ = text("SELECT 1 FROM sqlite_schema")
"""Reads from the file: a new connection opens it with its first reading only."""

_compiled = LRUCache[Any, Any](500)
"""Statements as SQL, for all engines of this process: compiling takes longer than executing."""

_held: dict[Engine, tuple[int, int]] = {}
"""Engines of `Database.hold`, with device and inode of their file.

While SQLite has a file open, this process must not open it otherwise: closing any descriptor of a
file drops all locks that the process has on it, and another process may then delete the log.
"""


def is_ours(path: Path) -> bool:
    """Return True if a file's header is that of nngpt's database, False for no or an empty file.

    Raises:
        StoreError: the path holds anything else, or cannot be read.
    """
    try:
        if _is_held(path):
            return True
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return False
    except IsADirectoryError:
        raise StoreError("is a folder, not a database", where=str(path), hint=_OTHER_PATH) from None
    except OSError as error:
        raise StoreError(
            f"cannot be opened ({error.strerror})", where=str(path), hint=_OTHER_PATH
        ) from None
    if not header:
        return False
    if not header.startswith(_MAGIC):
        raise StoreError("is not a SQLite database", where=str(path), hint=_OTHER_PATH)
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise _foreign_error(path)
    return True


def _is_held(path: Path) -> bool:
    """Return True if this process keeps a connection to the file open."""
    return _file(path) in _held.values()


def _file(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _foreign_error(path: Path) -> StoreError:
    if {"nn", "stat", "prm"} <= _tables(path):
        what = "is a LEMUR database, not one of nngpt"
        hint = f"Import it: nngpt lemur import {path}, or give another path"
    else:
        what, hint = "is a database of another program", _OTHER_PATH
    return StoreError(what, where=str(path), hint=hint)


def connect_immutable(path: Path) -> sqlite3.Connection:
    """Open a SQLite database whose header was checked, without a lock and without -wal and -shm."""
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", uri=True)


def _tables(path: Path) -> set[str]:
    connection = connect_immutable(path)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {str(name) for (name,) in rows}
    except sqlite3.DatabaseError:
        return set()
    finally:
        connection.close()


class Dialect(SQLiteDialect_pysqlite):
    """SQLite; all instances are equal, since compiled statements are looked up by dialect too."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dialect)

    def __hash__(self) -> int:
        return hash(Dialect)


registry.register("nngpt", __name__, "Dialect")


class IllegalWriteError(NngptError):
    """nngpt tried to write what the store forbids: a bug in nngpt, not a user error."""


class Database:
    """A database file, made by `open_database`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        engine = _engine(URL.create("nngpt", database=str(path)), NullPool)
        self._readers = [engine]
        self._writer = engine.execution_options(nngpt_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that sees one consistent state of the database.

        Raises:
            StoreError: the file cannot be read.
        """
        with _reporting_errors(self.path), Session(self._readers[-1]) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a write transaction, which holds the lock from its first statement on.

        Raises:
            StoreError: the file cannot be written, or another program holds the lock too long.
            IllegalWriteError: a value that SQLite would change (NaN, an integer of over 64 bits),
                or a violated constraint.
        """
        with _reporting_errors(self.path), Session(self._writer) as session, session.begin():
            yield session

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep a connection open, so that transactions of the block cost less; reading uses it.

        A transaction that closes the file's last connection copies the write-ahead log into the
        database and deletes it. The connection is read-only, so a forked process that closes its
        copy cannot write.

        Raises:
            StoreError: the file cannot be read.
        """
        query = {"mode": "ro", "uri": "true"}
        held = _engine(URL.create("nngpt", database=self.path.as_uri(), query=query), QueuePool)
        self._readers.append(held)
        _held[held] = _file(self.path)
        try:
            with self.read() as session:
                session.execute(_READ)
            yield
        finally:
            self._readers.remove(held)
            _held.pop(held, None)
            # The last connection must be able to write: it deletes the log.
            with self.read() as session, ExitStack() as stack:
                stack.callback(held.dispose)
                session.execute(_READ)

    def upgrade(self) -> None:
        """Migrate the database's schema to the current revision, in one transaction.

        An older database is copied first, to a file beside it.

        Raises:
            StoreError: the database is damaged, or made by a newer nngpt. It is left as it was.
        """
        with self.read() as session:
            found = schema.revision(session.connection())
        if found == schema.HEAD:
            return
        copies: list[Path] = []
        with self.write() as session:
            connection = session.connection()
            if schema.revision(connection) == schema.HEAD:  # by another process meanwhile
                return
            connection.info["nngpt_migrates"] = True
            schema.upgrade(connection, str(self.path), lambda old: copies.append(self._copy(old)))
            db: Any = connection.connection.driver_connection
            integrity.adopt(db, self.path)
            connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
        for copy in copies:
            what = f"migrated to schema {schema.HEAD}; {copy.name} is the file as it was"
            print(f"nngpt: {self.path}: {what}", file=sys.stderr)

    def _copy(self, revision: str) -> Path:
        """Copy the database to a file beside it that is named after its revision."""
        copy = self.path.with_name(f"{self.path.name}.schema-{revision}")
        draft = copy.with_name(f".{copy.name}.partial")
        try:
            draft.unlink(missing_ok=True)
            with (
                closing(sqlite3.connect(self.path)) as source,
                closing(sqlite3.connect(draft)) as to,
            ):
                source.backup(to)
            files.publish(draft, copy)
        except (OSError, sqlite3.Error) as error:
            draft.unlink(missing_ok=True)
            what = f"cannot be copied before its migration ({error})"
            raise StoreError(what, where=str(self.path), hint="Check disk space") from None
        return copy

    def close(self) -> None:
        """Close the database: dispose of the engine; no connection is open."""
        self._writer.dispose()


def open_database(path: Path, create: bool) -> Database:
    """Open the database at `path`; create it if it is missing, migrate it if it is old, check it.

    Raises:
        StoreError: the file is missing and `create` is False, belongs to another program or a newer
            nngpt, is damaged, or cannot be written. Nothing is written then.
    """
    path = Path(path).resolve()
    if not is_ours(path):
        if not create:
            raise StoreError("no such database", where=str(path), hint="Start a run first")
        _create(path)
    if not os.access(path, os.W_OK):
        raise StoreError("cannot be written", where=str(path), hint="Change its permissions")
    if not _is_held(path):  # it was checked, and its locks must stay
        integrity.check(path)
    database = Database(path)
    database.upgrade()
    return database


def _create(path: Path) -> None:
    """Create the database under another name, then move it into place.

    Processes take turns, so each removes what a killed one left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        turn = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with files.scratch(path) as folder:
                if not is_ours(path):
                    files.publish(_initialise(folder / path.name), path)
        finally:
            os.close(turn)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"cannot be created ({getattr(error, 'strerror', None) or error})",
            where=str(path),
            hint="Give a path in a folder that you may write to",
        ) from None


def _initialise(draft: Path) -> Path:
    draft.touch()  # with the permissions that the user's umask leaves
    database = Database(draft)
    database.upgrade()
    database.close()
    with closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return draft


def _engine(url: URL, pool: type[Pool]) -> Engine:
    engine = create_engine(
        url,
        poolclass=pool,
        connect_args={"timeout": _BUSY_TIMEOUT_S},
        execution_options={"compiled_cache": _compiled},
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    event.listen(engine, "before_cursor_execute", partial(_on_execute, integrity.Triggers()))
    return engine


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _on_begin, not by the driver
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("nngpt_begin", "BEGIN"))


def _on_execute(
    triggers: integrity.Triggers,
    connection: Any,
    _cursor: Any,
    statement: str,
    parameters: Any,
    _context: Any,
    _many: bool,
) -> None:
    if not connection.info.get("nngpt_migrates"):
        triggers.prepare(connection.connection.driver_connection, statement)
    for item in parameters:
        for value in item if isinstance(item, tuple) else (item,):
            if isinstance(value, float) and not math.isfinite(value):
                raise IllegalWriteError(f"not a finite number ({value})", where=statement)
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise IllegalWriteError(f"too large an integer ({value})", where=statement)


@contextmanager
def _reporting_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise IllegalWriteError(str(error.orig), where=str(path)) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise integrity.store_error(path, getattr(error, "orig", error)) from error


def _close_in_child() -> None:
    while _held:
        _held.popitem()[0].dispose()


os.register_at_fork(after_in_child=_close_in_child)
