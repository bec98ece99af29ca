"""System calls that Python lacks (prctl, mount, unshare …), through libc; each raises OSError."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

NEWNS = 0x00020000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
_MNT_DETACH = 2


def unshare(flags: int) -> None:
    """Move this process into new namespaces, as unshare(2)."""
    _check(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Join the namespace behind `fd`, as setns(2); with `NEWPID`, future children join it."""
    _check(_libc.setns(fd, kind))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system, as mount(2)."""
    words = (source.encode(), target.encode(), kind.encode() if kind else None)
    _check(_libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None))


def pivot_root(new: str) -> None:
    """Make the mount point `new` the root, as pivot_root(2), and unmount the old root."""
    os.chdir(new)
    _check(_libc.syscall(_PIVOT_ROOT[platform.machine()], b".", b"."))
    _check(_libc.umount2(b".", _MNT_DETACH))  # the old root lies on top of the new one now
    os.chdir("/")


def die_with_parent(number: int) -> None:
    """Make the kernel send this process a signal when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def end_with_parent(parent: int, end: Callable[[], object]) -> None:
    """Call `end` when `parent` ends, through prctl(2) and its parent-death signal."""

    def on_parent_death(*_: object) -> None:
        if os.getppid() != parent:  # else only the thread that started us has ended
            end()

    signal.signal(signal.SIGTERM, on_parent_death)
    die_with_parent(signal.SIGTERM)
    on_parent_death()


def adopt_orphans() -> None:
    """Adopt all orphaned descendants, through prctl(2) (child subreaper)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_dumpable() -> None:
    """Make this process the owner of its /proc/self after a change of user, by prctl(2)."""
    _prctl(_PR_SET_DUMPABLE, 1)


def no_new_privileges() -> None:
    """Prevent this process and its children from gaining privileges, by prctl(2)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Drop every capability by capset(2); otherwise root could raise its own limits again."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(nothing)))


def install_filter(program: bytes) -> None:
    """Make the kernel filter system calls with a BPF program (8 bytes per instruction)."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    wanted = Program(len(program) // 8, program)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(wanted), 0, 0))


def syscall(number: int, *values: object) -> int:
    """Make a system call for which libc has no function."""
    result = int(_libc.syscall(ctypes.c_long(number), *values))
    _check(-1 if result < 0 else 0)
    return result


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
