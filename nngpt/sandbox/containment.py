"""The containment layers, in the one order in which they work.

A worker is contained before it learns which candidate it will run, so nothing of this is paid
while a candidate waits. `layers` tries everything out in a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nngpt import config
from nngpt.errors import UserError
from nngpt.sandbox import processes
from nngpt.sandbox.layers import cgroup, kernel, landlock, namespaces, seccomp

MARK = 0x6E6E67
"""Hard RLIMIT_LOCKS of every worker (unused by Linux, can never be raised again), and its user."""

_RLIMIT_LOCKS = 10
_SCRATCH_BYTES = 16 << 20
_OPEN_FILES = 256
# Not /dev/zero: what is mapped of it counts towards no limit.
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
_CUDA_DEVICES = ("/dev/nvidia", "/dev/dxg")
_READABLE = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
)
_SPARE_ADDRESSES = 16 << 30  # for stacks, arenas and libraries; as page tables 32 MiB
_CUDA_READABLE = (
    "/usr/local/cuda",
    "/usr/local/nvidia",
    "/sys",
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/cpuinfo",
    "/proc/meminfo",
)


@dataclass(frozen=True)
class Limits:
    """Limits on one worker.

    Attributes:
        memory_bytes: memory of its own beyond what it was forked with.
        cpu_s: CPU seconds over all its threads.
        processes: how many threads and processes it may be, itself included.
        cuda: it uses a GPU: the driver reserves address space far beyond any memory limit, so
            that only the watch enforces `memory_bytes`, and needs devices and system calls.
    """

    memory_bytes: int
    cpu_s: int
    processes: int
    cuda: bool


@dataclass(frozen=True)
class Layer:
    """One containment layer: whether this machine has it, and how to fix it.

    Attributes:
        required: False for what only strengthens the level "standard".
    """

    name: str
    available: bool
    hint: str
    required: bool = True


@dataclass
class Containment:
    """What a worker can be contained with: made once by its supervisor.

    Attributes:
        filter: BPF program of the system calls, None if libseccomp is missing.
        namespaced: it is the first process of a namespace and may make more of them.
    """

    limits: Limits
    namespaced: bool
    filter: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            self.filter = seccomp.program(self.limits.cuda, self.namespaced)
        except OSError:
            self.filter = None
        self._read = readable(self.limits.cuda)
        self._devices = [*_DEVICES, *(_cuda_devices() if self.limits.cuda else ())]
        self._write: list[str] = []
        self._counted = False

    def enter(self, group: cgroup.Group | None) -> list[str]:
        """Put every layer on the calling process; returns the names of those it lacks."""
        self._proc_self = os.open("/proc/self", os.O_RDONLY | os.O_CLOEXEC)
        self._address_bytes = 1024 * processes.status_kib("self", "VmSize")
        self._data_bytes = 1024 * processes.status_kib("self", "VmData")
        self._alone = processes.threads() == 1  # Landlock would leave another thread free
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
            raise OSError("Python may lie where only this user can read")
        if os.geteuid() != 0:
            raise OSError("only root can")
        os.setgroups([])
        os.setresgid(MARK, MARK, MARK)
        os.setresuid(MARK, MARK, MARK)
        kernel.set_dumpable()

    def _count_threads(self) -> None:
        if not self.namespaced:
            raise OSError("no user namespace")
        namespaces.own_thread_count(self._proc_self)
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
        if self.filter is None:
            raise OSError("no libseccomp")
        kernel.install_filter(self.filter)


def layers() -> list[Layer]:
    """Every layer, tried out in a short-lived process of its own. Imports no torch."""
    missing = _try_out()
    return [
        Layer(name, name not in missing, "" if name not in missing else hint, name in REQUIRED)
        for name, hint in _MENDS.items()
    ]


def level(missing: Collection[str], sandbox: str) -> str:
    """The containment level of workers that lack `missing`, e.g. "full: session, …".

    "full" has every layer but those that take root, "standard" every required one, "weak" less.

    Raises:
        UserError: it is less than `sandbox` ("full", "standard" or "weak") asks for.
    """
    required = [name for name in missing if name in REQUIRED]
    lacking = [name for name in missing if name not in _ROOT_ONLY]
    refused = {"full": lacking, "standard": required}.get(sandbox, [])
    if refused:
        raise UserError(
            f"the sandbox lacks: {', '.join(refused)}",
            where="evaluation.sandbox",
            hint=_MENDS[refused[0]],
        )
    name = "weak" if required else "standard" if lacking else "full"
    return f"{name}: {', '.join(layer for layer in _MENDS if layer not in missing)}"


def is_marked(pid: int) -> bool:
    """True for a worker and whatever it started: the mark cannot be taken off."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    marks = [line.split()[-2] for line in lines if line.startswith("Max file locks")]
    return any(mark.isdigit() and int(mark) <= MARK for mark in marks)


_KERNEL = "Needs Linux 5.13 or newer; or accept less with evaluation.sandbox=weak"
_NAMESPACES = "Allow user namespaces (sysctl user.max_user_namespaces, container settings)"
_MENDS = {
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
REQUIRED = frozenset(_MENDS) - {"namespaces", "private-files", "thread-count"} - _ROOT_ONLY
"""Layers without which the level is "weak"."""


def _try_out() -> set[str]:
    command = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; " + _TRIAL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return set(_MENDS) - {"clean-env"}
    return set(json.loads(done.stdout))


_TRIAL = "from nngpt.sandbox import containment; containment._report_missing()"


def _report_missing() -> None:
    missing = [] if os.path.isdir("/proc/self/fd") else ["closed-fds", "watch"]  # noqa: PTH112
    try:
        kernel.adopt_orphans()
    except (OSError, AttributeError):
        missing.append("subreaper")
    print(json.dumps(missing + _missing_of_a_worker()))


def _missing_of_a_worker() -> list[str]:
    """What a process lacks that is made as a worker is."""
    said, saying = os.pipe()
    namespaced = _try_namespace()
    group = _try_group()
    if (pid := os.fork()) == 0:
        trial = Containment(Limits(1 << 30, cpu_s=60, processes=8, cuda=False), namespaced)
        os.write(saying, json.dumps(trial.enter(group)).encode())
        os._exit(0)
    os.close(saying)
    with os.fdopen(said) as reader:
        text = reader.read()
    os.waitpid(pid, 0)
    if group is not None:
        group.remove()
    return json.loads(text) if text else [name for name in _MENDS if name != "clean-env"]


def _try_group() -> cgroup.Group | None:
    try:
        return cgroup.Group(os.getpid(), 0, 1 << 32, 64)
    except OSError:
        return None


def _try_namespace() -> bool:
    try:
        namespaces.own_processes()
    except OSError:
        return False
    return True


def readable(cuda: bool) -> list[str]:
    """Every folder and file that a worker may read: Python, its packages, and system libraries."""
    packages = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    python = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    library = str(Path(sys.base_prefix) / "lib")
    own = str(Path(__file__).resolve().parents[1])
    roots = [*packages, *python, library, own, *(_library_path() if cuda else ())]
    system = [*_READABLE, *(_CUDA_READABLE if cuda else ())]
    places = [os.path.realpath(place) for place in [*roots, *system]]
    return sorted({*roots, *system, *places} - {"/", "/usr"})


def exposed(paths: Iterable[Path], cuda: bool) -> Path | None:
    """The first of `paths` that a worker could read, None if it can read none of them."""
    folders = readable(cuda)
    below = (p for p in paths if any(p.resolve().is_relative_to(folder) for folder in folders))
    return next(below, None)


def _library_path() -> list[str]:
    listed = config.environment("LD_LIBRARY_PATH") or ""
    return [folder for folder in listed.split(":") if folder.startswith("/")]


def _cuda_devices() -> list[str]:
    return [str(p) for p in Path("/dev").iterdir() if str(p).startswith(_CUDA_DEVICES)]


def _join(group: cgroup.Group | None) -> None:
    if group is None:
        raise OSError("no control group")
    group.enter()


def _lead_session() -> None:
    if os.getsid(0) != os.getpid():
        os.setsid()
