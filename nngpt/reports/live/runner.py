"""Is somebody working on a run? Told from its lock file, without taking the lock.

To try the lock, even a shared one, would for a moment keep a runner from starting.
"""

from __future__ import annotations

import os
from pathlib import Path


def runner_of(database: Path, run_id: int) -> int | None:
    """Process id of the run's runner, None if nobody works on it.

    A runner writes its id into the lock file once it holds the lock, and keeps the file open as
    long as it does; so the process of that id that has the file open is the runner.
    """
    path = database.with_name(f"{database.name}.run-{run_id}.lock")
    try:
        pid, lock = int(path.read_text("ascii")), path.stat()
    except (OSError, ValueError):
        return None
    folder = Path(f"/proc/{pid}/fd")
    try:
        handles = list(folder.iterdir())
    except PermissionError:  # somebody else's process: that it is there must do
        return pid
    except OSError:
        return None
    return pid if any(_is_file(handle, lock) for handle in handles) else None


def _is_file(handle: Path, lock: os.stat_result) -> bool:
    try:
        return os.path.samestat(handle.stat(), lock)
    except OSError:  # closed meanwhile
        return False
