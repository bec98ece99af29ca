"""The lock of a run, so that only one process works on it; freed when the process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from nngpt.errors import StoreError

_held: set[RunLock] = set()


class RunLock:
    """Hold `flock` on a lock file from construction until `release`.

    The file is never removed: otherwise two processes could lock different files of that name.

    Raises: StoreError if another process holds the lock, or the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"cannot be opened ({error.strerror})", where=str(path)) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            os.close(handle)
            raise StoreError(
                f"another runner (pid {holder or 'unknown'}) is working on this run",
                where=str(path),
                hint="Wait for it or stop it",
            ) from None
        except OSError as error:
            os.close(handle)
            raise StoreError(
                f"cannot be locked ({error.strerror})",
                where=str(path),
                hint="Keep the database on a local disk",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle: int | None = handle
        _held.add(self)

    def release(self) -> None:
        """Release the lock of the run; a second call does nothing."""
        _held.discard(self)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _drop_in_child() -> None:
    # A forked worker that outlives its runner would keep the dead runner's lock.
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_drop_in_child)
