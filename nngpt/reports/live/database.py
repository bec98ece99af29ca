"""The database opened read-only, so that watching a run cannot change it, and its runner."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, event

from nngpt.errors import StoreError
from nngpt.store import Store, integrity, schema
from nngpt.store.database import Database, is_ours

_BUSY_TIMEOUT_S = 2


class WatchedDatabase(Database):
    """A database with read-only connections that detects changes by other processes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._reader = _engine(path)
        self._writer = self._reader.execution_options()
        self._sentinel: sqlite3.Connection | None = None
        self._inode = 0

    def version(self) -> tuple[int, int]:
        """Return a value that changes with others' commits. Raises: StoreError if unreadable."""
        try:
            inode = self.path.stat().st_ino
            if self._sentinel is None or inode != self._inode:
                self._close_sentinel()
                self._sentinel, self._inode = (
                    integrity.connect_read_only(self.path, _BUSY_TIMEOUT_S),
                    inode,
                )
            (number,) = self._sentinel.execute("PRAGMA data_version").fetchone()
        except (OSError, sqlite3.Error) as error:
            what = getattr(error, "strerror", None) or error
            raise StoreError(f"cannot be read ({what})", where=str(self.path)) from None
        return inode, number

    def close(self) -> None:
        """Close all connections."""
        self._close_sentinel()
        super().close()

    def _close_sentinel(self) -> None:
        if self._sentinel is not None:
            self._sentinel.close()
            self._sentinel = None


def open_watched(path: Path) -> tuple[Store, WatchedDatabase]:
    """Return a read-only store and database to watch a run. Raises: StoreError if unusable."""
    path = Path(path).resolve()
    if not is_ours(path):
        raise StoreError("no such database", where=str(path), hint="Start a run first")
    database = WatchedDatabase(path)
    with database.read() as session:
        found = schema.revision(session.connection())
    if found != schema.HEAD:
        raise StoreError(
            f"has schema {found}, this nngpt reads {schema.HEAD}",
            where=str(path),
            hint=f"`nngpt cycle list --folder {path.parent}` migrates an older one",
        )
    integrity.check(path)
    return Store(database), database


def runner_of(database: Path, run_id: int) -> int | None:
    """Return the id of the process that runs a watched run, None if there is none.

    The lock is not tried: even a shared lock could keep a run from starting for a moment. A runner
    writes its process id into the lock file and keeps the file open.
    """
    path = database.with_name(f"{database.name}.run-{run_id}.lock")
    try:
        pid, lock = int(path.read_text("ascii")), path.stat()
    except (OSError, ValueError):
        return None
    folder = Path(f"/proc/{pid}/fd")
    try:
        handles = list(folder.iterdir())
    except PermissionError:  # another user's process: that it exists must suffice
        return pid
    except OSError:
        return None
    return pid if any(_is_file(handle, lock) for handle in handles) else None


def _is_file(handle: Path, lock: os.stat_result) -> bool:
    try:
        return os.path.samestat(handle.stat(), lock)
    except OSError:  # closed in the meantime
        return False


def _engine(path: Path) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=partial(integrity.connect_read_only, path, _BUSY_TIMEOUT_S),
        poolclass=NullPool,
    )
    # All reads of a session see one state of the database.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine
