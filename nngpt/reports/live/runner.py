"""Find the process that holds a run's lock, without acquiring the lock.

Trying the lock, even a shared one, could keep a run from starting for a moment.
"""

from __future__ import annotations

import os
from pathlib import Path


def runner_of(database: Path, run_id: int) -> int | None:
    """Return the id of the process that runs a run, None if there is none.

    A runner writes its process id into the lock file while it holds the lock, and keeps the file
    open. So the process with that id, if it has the file open, is the runner.
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
