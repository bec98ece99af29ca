"""Namespaces: isolated users, processes, network, IPC, mounts. Needs user namespaces or root."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from nngpt.sandbox.layers import kernel

_MNT_FLAGS = (kernel.MS_RDONLY, kernel.MS_NOSUID, kernel.MS_NODEV, kernel.MS_NOEXEC)
_SCRATCH = "/scratch"


def own_processes() -> None:
    """Make the next forked child the first process of a new process namespace.

    Without the capability for this, enter a user namespace first, in which this process keeps its
    user id and has every capability. Raises: OSError if namespaces are not available.
    """
    try:
        kernel.unshare(kernel.NEWPID)
    except PermissionError:
        proc_self = os.open("/proc/self", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter_user_namespace(proc_self)
        finally:
            os.close(proc_self)
        kernel.unshare(kernel.NEWPID)


def as_first_process() -> None:
    """Fork and continue as the first process of a new process namespace; the caller waits for it.

    When the first process ends, the kernel ends every process of the namespace. It ends with the
    caller, which ends with its own parent. The caller must have a single thread.

    Raises: OSError if namespaces are not available; the caller continues unchanged.
    """
    parent = os.getppid()
    own_processes()
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        _wait_for(pid, parent)
    os.close(ours)
    kernel.die_with_parent(signal.SIGKILL)
    if _hung_up(theirs):
        os._exit(1)
    os.close(theirs)


def _wait_for(pid: int, parent: int) -> NoReturn:
    """Wait for the first process and exit like it; exit at once if `parent` ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernel.end_with_parent(parent, lambda: os._exit(0))
    _, status = os.waitpid(pid, 0)
    os._exit(0 if status == 0 else 1)


def _hung_up(writing: int) -> bool:
    """Return True if the other end of the pipe is closed in all processes."""
    poller = select.poll()
    poller.register(writing, 0)
    return bool(poller.poll(0))


class ProcessNamespaces:
    """Makes a new process namespace for each forked child. Raises: OSError if there are none."""

    def __init__(self) -> None:
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def next(self) -> None:
        """Make the next forked child the first process of a new process namespace."""
        kernel.setns(self._own, kernel.NEWPID)  # required before leaving it again
        kernel.unshare(kernel.NEWPID)


def isolate() -> None:
    """Enter new namespaces: mount, network (no loopback), IPC, host name. Raises: OSError."""
    kernel.unshare(kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)


def private_root(read: Sequence[str], devices: Sequence[str], proc: bool, size: int) -> str:
    """Replace the mount namespace's root: only `read` (read-only), `devices`, empty scratch folder.

    Call `isolate` first. The scratch folder becomes the current folder; return its path.

    Args:
        proc: also mount /proc, which shows the processes of this process namespace only.
        size: capacity of the scratch folder in bytes.

    Raises: OSError if a mount is forbidden.
    """
    new = _place_for_root([*read, *devices])
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("nngpt", new, "tmpfs", quiet, "size=64k,nr_inodes=512,mode=755")
    for path in read:
        _show(path, new, kernel.MS_RDONLY)
    for path in devices:
        _show(path, new, 0)
    if proc:
        Path(f"{new}/proc").mkdir()
        kernel.mount("proc", f"{new}/proc", "proc", quiet | kernel.MS_NOEXEC)
    scratch = f"{new}{_SCRATCH}"
    Path(scratch).mkdir()
    limits = f"size={size},nr_inodes=1024,mode=777"
    kernel.mount("scratch", scratch, "tmpfs", quiet | kernel.MS_NOEXEC, limits)
    kernel.mount("none", new, None, kernel.MS_REMOUNT | kernel.MS_BIND | quiet | kernel.MS_RDONLY)
    kernel.pivot_root(new)
    os.chdir(_SCRATCH)
    return _SCRATCH


def _place_for_root(shown: Sequence[str]) -> str:
    """Return a folder to mount the new root on that contains none of `shown`."""
    for place in ("/mnt", "/media", "/srv", "/tmp", "/var/tmp", "/home", "/run"):
        if Path(place).is_dir() and not any(Path(p).is_relative_to(place) for p in shown):
            return place
    raise OSError("no folder is free to mount the sandbox's root on")


def _show(path: str, new: str, flags: int) -> None:
    """Bind `path` to the same place below `new`; copy symbolic links."""
    source, target = Path(path), Path(f"{new}{path}")
    if not os.path.lexists(source) or os.path.lexists(target):
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        return target.symlink_to(source.readlink())
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    # Recursively: without root a mount cannot be separated from those upon it.
    kernel.mount(path, str(target), None, kernel.MS_BIND | kernel.MS_REC)
    kept = os.statvfs(target).f_flag & sum(_MNT_FLAGS)  # only root may clear these
    wanted = kept | flags | kernel.MS_NOSUID
    return kernel.mount("none", str(target), None, kernel.MS_REMOUNT | kernel.MS_BIND | wanted)


def enter_user_namespace(proc_self: int) -> None:
    """Enter a user namespace, in which RLIMIT_NPROC counts only this process's threads.

    Args:
        proc_self: descriptor of /proc/self, opened before that was hidden.
    """
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEWUSER)
    maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
    for name, text in maps.items():
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_self)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)
