"""Landlock: restrict the files that this process may open. Needs Linux 5.13, but no root.

The restriction applies to one thread and its descendants, so it is made right after the fork,
while there is only one thread. Numbers and structures are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from nngpt.sandbox.layers import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_IOCTL_DEV = 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14) | _IOCTL_DEV  # 14: truncate
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of file rights by ABI version
_NET_RIGHTS = 0b11  # bind and connect of TCP, ABI 4
_SCOPES = 0b11  # abstract UNIX sockets and signals, ABI 6


def restrict(read: Iterable[str], write: Iterable[str], devices: Iterable[str]) -> None:
    """Restrict by Landlock: reading below `read`, any access below `write`, use of `devices`.

    From ABI 4 TCP is forbidden too, from ABI 6 signals and abstract UNIX sockets to processes
    outside. Needs no-new-privileges. Raises: OSError if Landlock is missing or switched off.
    """
    abi = kernel.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    every = (1 << _FS_RIGHTS.get(abi, 16)) - 1
    rules = _Ruleset(every, _NET_RIGHTS if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = ctypes.c_size_t(8 if abi < 4 else 16 if abi < 6 else 24)
    ruleset = kernel.syscall(_CREATE, ctypes.byref(rules), size, ctypes.c_uint32(0))
    try:
        for paths, rights in ((read, _READ), (write, every), (devices, _FILE_RIGHTS)):
            for path in paths:
                _allow(ruleset, path, rights & every)
        kernel.syscall(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _FILE_RIGHTS
        rule = _Beneath(rights, fd)
        values = (ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule))
        kernel.syscall(_ADD, *values, ctypes.c_uint32(0))
    finally:
        os.close(fd)
