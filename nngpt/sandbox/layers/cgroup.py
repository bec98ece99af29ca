"""Control groups: exact limits on a worker's memory and tasks. Needs root or delegation.

Unlike process limits they count all memory, with page tables and pipes. Supports version 2 of the
interface, and version 1 with its separate hierarchies for memory and tasks.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NAME = "nngpt"
_KERNEL_BYTES = 32 << 20  # page tables and the like, not included in `memory_bytes`


class Group:
    """One control group, empty at first. Raises: OSError if groups cannot be made here."""

    def __init__(self, owner: int, number: int, memory_bytes: int, tasks: int) -> None:
        """Make the control group; `owner` is its maker's process id as listed in /proc."""
        self._folders: dict[str, Path] = {}
        try:
            for kind, parent in _parents().items():
                folder = self._folders[kind] = parent / f"{_NAME}-{owner}-{number}"
                folder.mkdir(exist_ok=True)  # in version 2 both are one folder
            memory, pids = self._folders["memory"], self._folders["pids"]
            limit = "memory.max" if _is_version_2() else "memory.limit_in_bytes"
            (memory / limit).write_text(str(memory_bytes + _KERNEL_BYTES))
            with contextlib.suppress(OSError):  # there is no swap, or it is not counted
                (memory / "memory.swap.max").write_text("0")
            (pids / "pids.max").write_text(str(tasks))
        except OSError:
            self.remove()
            raise

    def enter(self) -> None:
        """Move the calling process into the control group. Raises: OSError."""
        for folder in self._folders.values():
            (folder / "cgroup.procs").write_text("0")

    def ran_out(self) -> bool:
        """Return True if the kernel killed a process of the control group for lack of memory."""
        name = "memory.events" if _is_version_2() else "memory.oom_control"
        try:
            lines = (self._folders["memory"] / name).read_text().splitlines()
        except OSError:
            return False
        return any(line.split()[0] == "oom_kill" and line.split()[1] != "0" for line in lines)

    def remove(self) -> None:
        """Remove the control group; its processes must have ended."""
        for folder in self._folders.values():
            with contextlib.suppress(OSError):  # both kinds are one folder in version 2
                folder.rmdir()


def remove_left_over() -> None:
    """Remove the control groups whose owners were killed."""
    for parent in _parents().values():
        for folder in parent.glob(f"{_NAME}-*-*"):
            if not Path("/proc", folder.name.split("-")[1]).exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _is_version_2() -> bool:
    return (_ROOT / "cgroup.controllers").exists()


def _parents() -> dict[str, Path]:
    """Return the parent folders for groups, by kind ("memory", "pids"). Raises: OSError."""
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, kinds, path = line.split(":", 2)
        own |= dict.fromkeys(kinds.split(","), path)
    if not _is_version_2():
        if not {"memory", "pids"} <= own.keys():
            raise OSError("no control groups for memory and tasks")
        return {kind: _ROOT / kind / own[kind].lstrip("/") for kind in ("memory", "pids")}
    inside = _ROOT / own.get("", "/").lstrip("/")
    for folder in (inside, inside.parent):  # a group with processes cannot have such children
        handed_down = (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
        if {"memory", "pids"} <= set(handed_down):
            return {"memory": folder, "pids": folder}
    raise OSError("control groups for memory and tasks are not delegated")
