"""Recognise nngpt's database files by their header, without writing to them or locking them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from nngpt.errors import StoreError

APPLICATION_ID = int.from_bytes(b"nngp")
"""SQLite application id of nngpt's databases, at byte 68 of the file."""

_MAGIC = b"SQLite format 3\0"
_OTHER_PATH = "Give another path"


def is_ours(path: Path) -> bool:
    """Return True if a file's header is that of nngpt's database, False for no or an empty file.

    Raises:
        StoreError: the path holds anything else, or cannot be read.
    """
    try:
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


def _foreign_error(path: Path) -> StoreError:
    if {"nn", "stat", "prm"} <= _tables(path):
        what = "is a LEMUR database, not one of nngpt"
        hint = f"Import it: nngpt lemur import {path}, or give another path"
    else:
        what, hint = "is a database of another program", _OTHER_PATH
    return StoreError(what, where=str(path), hint=hint)


def connect_immutable(path: Path) -> sqlite3.Connection:
    """Open a SQLite file whose header was checked, without a lock and without -wal and -shm."""
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
