"""Contain a process with every layer, in the only order that works; find a machine's level.

A worker is contained before its candidate arrives, so no candidate waits for containment. The level
is full, standard or weak.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from nngpt import gpus
from nngpt.errors import UserError
from nngpt.gpus import Gpu
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
_SPARE_ADDRESSES = 16 << 30  # for stacks, arenas and libraries; 32 MiB of page tables at most
_KERNEL = "Needs Linux 5.13 or newer; or accept less with evaluation.sandbox=weak"
_NAMESPACES = "Allow user namespaces (sysctl user.max_user_namespaces, container settings)"
_HINTS = {
    "cgroup": "Only root, or a user with delegated control groups (systemd), may make them",
    "other-user": "Only root can become another user",
    "session": _KERNEL,
    "namespaces": _NAMESPACES,
    "private-files": _NAMESPACES,
    "thread-count": _NAMESPACES,
    "pdeathsig": _KERNEL,
    "rlimits": "Raise the hard limits of this shell (ulimit -H); or evaluation.sandbox=weak",
    "no-capabilities": _KERNEL,
    "no-new-privs": _KERNEL,
    "landlock": "Needs Linux 5.13 with Landlock switched on (lsm=…); or evaluation.sandbox=weak",
    "seccomp": "Install libseccomp (Debian: libseccomp2) and pyseccomp; or evaluation.sandbox=weak",
    "subreaper": _KERNEL,
    "watch": "Mount /proc; or accept less with evaluation.sandbox=weak",
    "clean-env": "",
    "closed-fds": "Mount /proc; or accept less with evaluation.sandbox=weak",
}
_ROOT_ONLY = frozenset({"cgroup", "other-user"})
REQUIRED = frozenset(_HINTS) - {"namespaces", "private-files", "thread-count"} - _ROOT_ONLY
"""Layers without which the level is "weak"."""


@dataclass(frozen=True)
class Limits:
    """Resource limits on one contained worker.

    Attributes:
        memory_bytes: memory of its own, beyond the memory it was forked with.
        processes: number of threads and processes, itself included.
        sharing: number of workers that share its GPU; 0 on a CPU.
    """

    memory_bytes: int
    processes: int
    sharing: int = 0

    @property
    def cuda(self) -> bool:
        """True if it uses a GPU. Its driver reserves address space far beyond any memory limit,
        so only the lane's watch enforces `memory_bytes`, and it needs devices and system calls.
        """
        return self.sharing > 0


class Containment:
    """Everything needed to contain workers; a lane makes it once for all of them.

    With `namespaced`, each worker is the first process of a process namespace. Of several GPUs it
    can open only `gpu`, if given.
    """

    def __init__(self, limits: Limits, namespaced: bool, gpu: Gpu | None = None) -> None:
        self.limits, self.namespaced = limits, namespaced
        self._filter: bytes | None = None
        with contextlib.suppress(OSError):  # libseccomp may be missing
            self._filter = seccomp.program(limits.cuda, namespaced)
        self._read = readable_paths(self.limits.cuda)
        self._devices = list(_DEVICES)
        if limits.cuda:
            self._devices += gpus.device_files(gpu)
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


@dataclass(frozen=True)
class Layer:
    """One containment layer, by its name in containment levels, such as "landlock".

    Attributes:
        available: True if this machine has it.
        hint: how to make it available; "" if it is.
        required: False for a layer that the level "standard" does without.
    """

    name: str
    available: bool
    hint: str
    required: bool = True


def layers() -> list[Layer]:
    """Return this machine's containment layers, tested in a short-lived process without torch."""
    test = "from nngpt.sandbox import containment; containment._print_missing()"
    command = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {test}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    missing = set(_HINTS) - {"clean-env"} if done.returncode else set(json.loads(done.stdout))
    return [
        Layer(name, name not in missing, hint if name in missing else "", name in REQUIRED)
        for name, hint in _HINTS.items()
    ]


def level(missing: Collection[str], sandbox: str) -> str:
    """Return the containment level of workers that lack `missing`, e.g. "full: session, …".

    "full" has every layer except those that need root, "standard" every required one, "weak" fewer.

    Raises: UserError if the level is below `sandbox` ("full", "standard" or "weak").
    """
    required = [name for name in missing if name in REQUIRED]
    lacking = [name for name in missing if name not in _ROOT_ONLY]
    refused = {"full": lacking, "standard": required}.get(sandbox, [])
    if refused:
        what, hint = f"the sandbox lacks: {', '.join(refused)}", _HINTS[refused[0]]
        raise UserError(what, where="evaluation.sandbox", hint=hint)
    name = "weak" if required else "standard" if lacking else "full"
    return f"{name}: {', '.join(layer for layer in _HINTS if layer not in missing)}"


def _print_missing() -> None:
    missing = [] if os.path.isdir("/proc/self/fd") else ["closed-fds", "watch"]  # noqa: PTH112
    try:
        kernel.adopt_orphans()
    except (OSError, AttributeError):
        missing.append("subreaper")
    print(json.dumps(missing + _missing_in_worker()))


def _missing_in_worker() -> list[str]:
    """Contain a child process as a worker is contained; return the layers that it lacks."""
    reading, writing = os.pipe()
    namespaced, group = False, None
    with contextlib.suppress(OSError):
        namespaces.own_processes()
        namespaced = True
    with contextlib.suppress(OSError):
        group = cgroup.Group(os.getpid(), 0, 1 << 32, 64)
    if (pid := os.fork()) == 0:
        trial = Containment(Limits(1 << 30, processes=8), namespaced)
        os.write(writing, json.dumps(trial.enter(group)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as reader:
        text = reader.read()
    os.waitpid(pid, 0)
    if group is not None:
        group.remove()
    return json.loads(text) if text else [name for name in _HINTS if name != "clean-env"]
