"""Namespaces: own users, processes, network, IPC and mounts. Needs user namespaces or root."""

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
    """The next `os.fork` makes the first process of a new process namespace.

    Where that takes a capability that is lacking, a user namespace comes first; there this process
    keeps its user id and has every capability.

    Raises:
        OSError: namespaces are not to be had.
    """
    try:
        kernel.unshare(kernel.NEWPID)
    except PermissionError:
        proc_self = os.open("/proc/self", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter_user_namespace(proc_self)
        finally:
            os.close(proc_self)
        kernel.unshare(kernel.NEWPID)


def as_first_process() -> None:
    """Go on as the first process of a new process namespace; the caller only waits for it.

    When that first process ends, however it ends, the kernel ends every process of the
    namespace; and it ends with the caller, which ends with its own parent. The caller must have
    one thread.

    Raises:
        OSError: namespaces are not to be had; the caller goes on as it was.
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
    def on_parent_death(*_: object) -> None:
        if os.getppid() != parent:  # else only the thread that started us has ended
            os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, on_parent_death)
    kernel.die_with_parent(signal.SIGTERM)
    on_parent_death()
    _, status = os.waitpid(pid, 0)
    os._exit(0 if status == 0 else 1)


def _hung_up(writing: int) -> bool:
    """True if nobody holds the other end of the pipe any more."""
    poller = select.poll()
    poller.register(writing, 0)
    return bool(poller.poll(0))


class ProcessNamespaces:
    """Makes a process namespace for each child that this process forks next.

    Raises:
        OSError: namespaces are not to be had.
    """

    def __init__(self) -> None:
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def next(self) -> None:
        """The next `os.fork` makes the first process of a new namespace."""
        kernel.setns(self._own, kernel.NEWPID)  # it may not be left from any other
        kernel.unshare(kernel.NEWPID)


def isolate() -> None:
    """Own mounts, network (not even loopback is up), IPC and host name. Raises: OSError."""
    kernel.unshare(kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)


def private_root(read: Sequence[str], devices: Sequence[str], proc: bool, size: int) -> str:
    """See only `read` (read-only) and `devices`, and a scratch folder of `size` bytes.

    Call `isolate` first. The current folder becomes the scratch folder.

    Args:
        proc: mount a /proc as well; in a process namespace it shows nobody else.

    Returns:
        The scratch folder's path.

    Raises:
        OSError: a mount is forbidden.
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
    """A folder to mount on that hides nothing of what is to be shown."""
    for place in ("/mnt", "/media", "/srv", "/tmp", "/var/tmp", "/home", "/run"):
        if Path(place).is_dir() and not any(Path(p).is_relative_to(place) for p in shown):
            return place
    raise OSError("no folder is free to mount the sandbox's root on")


def _show(path: str, new: str, flags: int) -> None:
    """Bind `path` to the same place below `new`; links are made anew."""
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
    kept = os.statvfs(target).f_flag & sum(_MNT_FLAGS)  # must not be cleared by who is not root
    wanted = kept | flags | kernel.MS_NOSUID
    return kernel.mount("none", str(target), None, kernel.MS_REMOUNT | kernel.MS_BIND | wanted)


def own_thread_count(proc_self: int) -> None:
    """A user namespace of its own, in which RLIMIT_NPROC counts this process's threads only.

    Args:
        proc_self: descriptor of /proc/self, opened before it was hidden.
    """
    _enter_user_namespace(proc_self)


def _enter_user_namespace(proc_self: int) -> None:
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_self)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)
