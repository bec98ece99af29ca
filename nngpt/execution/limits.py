"""The containment layers that a worker puts on itself before any generated code runs.

What this level does not cover: reading files of the same user, the network, memory in shared
segments between two looks of the memory watch, signals to processes of the same user. A
candidate can therefore still end the runner or read the data cache; it cannot do so by accident.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from nngpt.errors import UserError
from nngpt.execution import processes

MARK = 0x6E6E67  # hard RLIMIT_LOCKS of every worker: unused by Linux, can never be raised again

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_RLIMIT_LOCKS = 10
_FILE_BYTES = 64 << 20
_OPEN_FILES = 256


@dataclass(frozen=True)
class Limits:
    """Limits on one worker.

    Attributes:
        memory_bytes: memory of its own beyond what it was forked with.
        cpu_s: CPU seconds over all its threads.
        processes: how many processes it may be, itself included.
        limit_data: enforce `memory_bytes` in the kernel too (impossible with CUDA, which
            reserves address space far beyond it).
    """

    memory_bytes: int
    cpu_s: int
    processes: int
    limit_data: bool


@dataclass(frozen=True)
class Layer:
    """One containment layer: whether this machine has it, and how to mend that."""

    name: str
    available: bool
    mend: str


def contain(limits: Limits) -> list[str]:
    """Put every layer on the calling process; returns the names of those it could not have."""
    steps: dict[str, Callable[[], None]] = {
        "session": _lead_session,
        "pdeathsig": lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        "rlimits": lambda: _set_rlimits(limits),
        "no-capabilities": _drop_capabilities,
        "no-new-privs": lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1),
    }
    missing = []
    for name, step in steps.items():
        try:
            step()
        except (OSError, ValueError, AttributeError):
            missing.append(name)
    return missing


def layers() -> list[Layer]:
    """Every layer, tried out in a short-lived process of its own. Imports no torch."""
    missing = _try_out()
    return [
        Layer(name, name not in missing, "" if name not in missing else mend)
        for name, mend in _MENDS.items()
    ]


def level(sandbox: str) -> str:
    """The containment level of this machine, with its layers, e.g. "basic: session, …".

    Raises:
        UserError: a layer is missing and `sandbox` is not "weak".
    """
    found = layers()
    missing = [layer for layer in found if not layer.available]
    if missing and sandbox != "weak":
        raise UserError(
            f"the sandbox lacks: {', '.join(layer.name for layer in missing)}",
            where="evaluation.sandbox",
            mend=missing[0].mend,
        )
    names = ", ".join(layer.name for layer in found if layer.available)
    return f"{'weak' if missing else 'basic'}: {names}"


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies.

    Raises:
        OSError: not Linux, or forbidden.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def ask_parent_death_signal(number: int) -> None:
    """Have the kernel send this process a signal when its parent dies. Raises: OSError."""
    _prctl(_PR_SET_PDEATHSIG, number)


def is_marked(pid: int) -> bool:
    """True for a worker and whatever it started: the mark cannot be taken off."""
    try:
        _, hard = resource.prlimit(pid, _RLIMIT_LOCKS)
    except (OSError, ValueError):
        return False
    return hard != resource.RLIM_INFINITY and hard <= MARK


_KERNEL = "Needs Linux 5.3 or newer; or accept less with evaluation.sandbox=weak"
_MENDS = {
    "session": _KERNEL,
    "pdeathsig": _KERNEL,
    "no-new-privs": _KERNEL,
    "no-capabilities": _KERNEL,
    "rlimits": "Raise the hard limits of this shell (ulimit -H); or evaluation.sandbox=weak",
    "subreaper": _KERNEL,
    "memory-and-process-watch": "Mount /proc; or accept less with evaluation.sandbox=weak",
    "clean-env": "",
    "closed-fds": "Mount /proc; or accept less with evaluation.sandbox=weak",
}


def _try_out() -> set[str]:
    command = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; " + _TRIAL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return set(_MENDS) - {"clean-env"}
    return set(json.loads(done.stdout))


_TRIAL = "from nngpt.execution import limits; limits._report_missing()"


def _report_missing() -> None:
    missing = [] if os.path.isdir("/proc/self/fd") else ["closed-fds", "memory-and-process-watch"]  # noqa: PTH112
    try:
        adopt_orphans()
    except (OSError, AttributeError):
        missing.append("subreaper")
    missing += contain(Limits(1 << 30, cpu_s=60, processes=1, limit_data=True))
    print(json.dumps(missing))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _lead_session() -> None:
    if os.getsid(0) != os.getpid():
        os.setsid()


def _set_rlimits(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        _RLIMIT_LOCKS: MARK,
    }
    if limits.limit_data:
        used = processes.status_kib("self", "VmData") * 1024
        wanted[resource.RLIMIT_DATA] = used + limits.memory_bytes
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _drop_capabilities() -> None:
    """Without this, root would raise its own limits again."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(ctypes.byref(header), ctypes.byref(nothing)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
