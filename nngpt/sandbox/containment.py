"""Contain a process: apply every layer to it, in the only order in which they work.

A worker is contained before its candidate arrives, so no candidate waits for containment.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nngpt.sandbox import processes
from nngpt.sandbox.layers import cgroup, kernel, landlock, namespaces, seccomp
from nngpt.sandbox.readable_paths import readable_paths

MARK = 0x6E6E67
"""Hard RLIMIT_LOCKS of every worker (unused by Linux, never to be raised again), and its user."""

_RLIMIT_LOCKS = 10
_SCRATCH_BYTES = 16 << 20
_OPEN_FILES = 256
# Not /dev/zero: memory mapped from it counts towards no limit.
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
_CUDA_DEVICES = ("/dev/nvidia", "/dev/dxg")
_SPARE_ADDRESSES = 16 << 30  # for stacks, arenas and libraries; 32 MiB of page tables at most


@dataclass(frozen=True)
class Limits:
    """Resource limits on one contained worker.

    Attributes:
        memory_bytes: memory of its own, beyond the memory it was forked with.
        cpu_s: CPU seconds over all its threads.
        processes: number of threads and processes, itself included.
        cuda: True if it uses a GPU. Its driver reserves address space far beyond any memory limit,
            so only the lane's watch enforces `memory_bytes`, and it needs devices and system calls.
    """

    memory_bytes: int
    cpu_s: int
    processes: int
    cuda: bool


class Containment:
    """Everything needed to contain workers; a lane makes it once for all of them.

    With `namespaced`, each worker is the first process of a process namespace.
    """

    def __init__(self, limits: Limits, namespaced: bool) -> None:
        self.limits, self.namespaced = limits, namespaced
        self._filter: bytes | None = None
        with contextlib.suppress(OSError):  # libseccomp may be missing
            self._filter = seccomp.program(limits.cuda, namespaced)
        self._read = readable_paths(self.limits.cuda)
        self._devices = list(_DEVICES)
        if limits.cuda:
            devices = (str(path) for path in Path("/dev").iterdir())
            self._devices += [path for path in devices if path.startswith(_CUDA_DEVICES)]
        self._write: list[str] = []
        self._counted = False

    def enter(self, group: cgroup.Group | None) -> list[str]:
        """Contain the calling process by every layer; return the names of layers that failed."""
        self._proc_self = os.open("/proc/self", os.O_RDONLY | os.O_CLOEXEC)
        self._address_bytes = 1024 * processes.status_kib("self", "VmSize")
        self._data_bytes = 1024 * processes.status_kib("self", "VmData")
        self._alone = processes.tasks("self") == 1  # Landlock would leave another thread free
        steps: dict[str, Callable[[], None]] = {
            "cgroup": lambda: _join(group),
            "session": _lead_session,
            "namespaces": self._isolate,
            "private-files": self._hide_files,
            "other-user": self._become_nobody,
            "thread-count": self._count_threads,
            "pdeathsig": lambda: kernel.die_with_parent(signal.SIGKILL),
            "rlimits": self._set_rlimits,
            "no-capabilities": kernel.drop_capabilities,
            "no-new-privs": kernel.no_new_privileges,
            "landlock": self._restrict_files,
            "seccomp": self._filter_calls,
        }
        missing = []
        for name, step in steps.items():
            try:
                step()
            except (OSError, ValueError, AttributeError, RuntimeError):
                missing.append(name)
        os.close(self._proc_self)
        return missing

    def _isolate(self) -> None:
        if not self.namespaced:
            raise OSError("no process namespace")
        namespaces.isolate()

    def _hide_files(self) -> None:
        if not self.namespaced:
            raise OSError("no mount namespace")
        read = [path for path in self._read if not path.startswith("/proc/")]  # it gets its own
        proc = self.limits.cuda
        scratch = namespaces.private_root(read, self._devices, proc, _SCRATCH_BYTES)
        self._write = [scratch]

    def _become_nobody(self) -> None:
        if not self._write:
            raise OSError("Python may be in a folder that only this user can read")
        if os.geteuid() != 0:
            raise OSError("only root can")
        os.setgroups([])
        os.setresgid(MARK, MARK, MARK)
        os.setresuid(MARK, MARK, MARK)
        kernel.set_dumpable()

    def _count_threads(self) -> None:
        if not self.namespaced:
            raise OSError("no user namespace")
        namespaces.enter_user_namespace(self._proc_self)
        self._counted = True

    def _set_rlimits(self) -> None:
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: self.limits.cpu_s,
            resource.RLIMIT_FSIZE: _SCRATCH_BYTES,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
            resource.RLIMIT_MSGQUEUE: 0,
            _RLIMIT_LOCKS: MARK,
        }
        if self._counted:  # else it would count every process of this user
            wanted[resource.RLIMIT_NPROC] = self.limits.processes
        if not self.limits.cuda:
            more = self.limits.memory_bytes
            wanted[resource.RLIMIT_DATA] = self._data_bytes + more
            wanted[resource.RLIMIT_AS] = self._address_bytes + more + _SPARE_ADDRESSES
            wanted[resource.RLIMIT_MEMLOCK] = 0  # a GPU's driver pins memory
        for kind, value in wanted.items():
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))

    def _restrict_files(self) -> None:
        if not self._alone:
            raise RuntimeError("there is a second thread")
        read = [*self._read, "/proc/self"] if self.limits.cuda else self._read
        landlock.restrict(read, self._write, self._devices)

    def _filter_calls(self) -> None:
        if self._filter is None:
            raise OSError("no libseccomp")
        kernel.install_filter(self._filter)


def is_marked(pid: int) -> bool:
    """Return True if `pid` carries the mark of containment, which no worker can remove."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    marks = [line.split()[-2] for line in lines if line.startswith("Max file locks")]
    return any(mark.isdigit() and int(mark) <= MARK for mark in marks)


def _join(group: cgroup.Group | None) -> None:
    if group is None:
        raise OSError("no control group")
    group.enter()


def _lead_session() -> None:
    if os.getsid(0) != os.getpid():
        os.setsid()
