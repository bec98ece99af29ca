"""Find, inspect and end processes through /proc; close descriptors. No torch, no thread."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc")
_PAUSE_S = 0.002
_TICKS = os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Return every living or unreaped descendant of `pid` by /proc, parents first."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def children(pid: int) -> list[int]:
    """Return the children of all threads of `pid` by /proc; none if it is gone."""
    try:
        lists = [path.read_text() for path in (_PROC / str(pid) / "task").glob("*/children")]
    except OSError:  # gone meanwhile
        return []
    if not lists and (_PROC / str(pid)).exists():
        return _children_by_scan(pid)
    return [int(child) for text in lists for child in text.split()]


def _children_by_scan(pid: int) -> list[int]:
    """Find children on kernels without CONFIG_PROC_CHILDREN."""
    found = []
    for path in _PROC.glob("[0-9]*/stat"):
        if _stat(path.parent)[1:2] == [str(pid)]:
            found.append(int(path.parent.name))
    return found


def kill(pids: list[int]) -> None:
    """Send SIGKILL to each of these processes; ignore those that are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def end_descendants(timeout_s: float, chosen: Callable[[int], bool] = lambda _: True) -> None:
    """Kill and reap the `chosen` children of this process, a child subreaper, and all below them.

    No process can hide: orphans become children of the subreaper, so once it has no such child it
    has no such descendant. Repeats until then, since a process may fork while being killed.

    Raises: TimeoutError if one is still alive after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while left := [pid for pid in children(os.getpid()) if chosen(pid)]:
        for pid in left:
            kill([*descendants(pid), pid])
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise TimeoutError("processes of a candidate cannot be ended")
        time.sleep(_PAUSE_S)


def tasks(pid: int | str) -> int:
    """Return the number of threads of a process by /proc; 0 if it is gone."""
    with contextlib.suppress(OSError):
        return len(list((_PROC / str(pid) / "task").iterdir()))
    return 0


def is_runnable(pid: int) -> bool:
    """Return True if a thread of a process runs or waits for a processor, by /proc."""
    return any(fields[:1] == ["R"] for fields in map(_stat, (_PROC / str(pid) / "task").glob("*")))


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and the children it has reaped; 0.0 if it is gone."""
    return sum(map(int, _stat(_PROC / str(pid))[11:15])) / _TICKS


def reaped_cpu_s(pid: int) -> float:
    """Return the CPU seconds of the children that a process has reaped; 0.0 if it is gone."""
    return sum(map(int, _stat(_PROC / str(pid))[13:15])) / _TICKS


def queued_s(pid: int) -> float:
    """Return how many seconds a process's main thread waited for a processor; 0.0 if unknown."""
    try:
        return int((_PROC / str(pid) / "schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _stat(folder: Path) -> list[str]:
    """Return the fields of a process's or thread's `stat` from its state on; [] if it is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def status_kib(pid: int | str, *keys: str) -> int:
    """Sum lines (in KiB) of /proc/PID/status; return 0 if the process is gone."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    pairs = (line.partition(":")[::2] for line in lines)
    return sum(int(value.split()[0]) for key, value in pairs if key in keys)


def close_others(keep: set[int]) -> None:
    """Close every descriptor of this process, found in /proc, except those in `keep`."""
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd not in keep:
            with contextlib.suppress(OSError):  # the one that listed the folder is gone
                os.close(fd)
