"""The runner's side of the zygote: starts it, opens lanes, hands them jobs, ends them."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nngpt import config
from nngpt.errors import ExecutionError
from nngpt.sandbox import containment, processes, sealed_memory, wire
from nngpt.sandbox.layers import kernel

_START_S = 300.0
_ANSWER_S = 60.0
_STOP_S = 5.0
_SWEEP_S = 10.0

# All that Python, torch and CUDA need from outside; nothing here says where labels lie.
_PASSED_ON = (
    "PATH",
    "LANG",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
)


@dataclass(frozen=True)
class Exit:
    """How a worker ended.

    Attributes:
        status: wait status as of `os.waitpid`.
        maxrss_mb: largest resident memory in MiB.
        cpu_s: CPU seconds of all its threads, from its fork on.
        over: what it had too much of ("memory", "processes", "cpu"), "" if nothing.
    """

    status: int
    maxrss_mb: float
    cpu_s: float
    over: str


class Zygote:
    """One zygote process, from which lanes fork.

    Attributes:
        pid: its process id; it waits for the first process of a namespace, if there is one.
        threads: number of threads it had when it was ready (1, or forking is unsafe).
    """

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        """Raises: ExecutionError: it does not start."""
        self._errors = os.memfd_create("zygote-stderr")
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kernel.adopt_orphans()
        with other:
            self._process = subprocess.Popen(
                _command(wrapper, other.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[other.fileno()],
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        self.pid = self._process.pid
        ready = _answer(self._control, _START_S)
        if ready is None:
            said = sealed_memory.tail(self._errors, 2000).strip()
            self.close()
            raise ExecutionError(f"the supervisor of the sandbox does not start: {said}")
        self.threads = int(ready["ready"])

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    def ends(self) -> bool:
        """True if it has ended or just does: its first process was killed, say."""
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def has_cuda(self) -> bool:
        """True if a worker could use CUDA; asked in a process of its own."""
        wire.send(self._control, {"probe": "cuda"})
        return bool((_answer(self._control, 2 * _ANSWER_S) or {}).get("cuda"))

    def open_lane(self, bounds: containment.Limits, threads: int, device: str) -> Lane:
        """A lane whose first worker is waiting. Raises: ExecutionError: it does not start."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = {"limits": asdict(bounds), "threads": threads, "device": device}
        with theirs:
            try:
                wire.send(self._control, {"lane": settings}, [theirs.fileno()])
            except OSError:
                ours.close()
                raise ExecutionError("the supervisor of the sandbox is gone") from None
        ready = _answer(ours, _START_S)
        if ready is None or ready["ready"] is None:
            ours.close()
            said = sealed_memory.tail(self._errors, 2000).strip()
            raise ExecutionError(f"a worker of the sandbox does not start: {said}")
        return Lane(ours, ready["ready"], int(ready["listed"]))

    def close(self) -> None:
        """End the zygote and everything below it. Raises: ExecutionError."""
        self._control.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _sweep()
        os.close(self._errors)


class SharedZygote:
    """The zygote of this process: started for the first user, ended with the last.

    Started by the command `wrapper` if there is one, which passes descriptor 3 on. Starting takes
    seconds, opening a lane of it does not, and lanes of different executors
    do not meet.
    """

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        self.wrapper = tuple(wrapper)
        self._lock = threading.Lock()
        self._users = 0
        self._zygote: Zygote | None = None
        os.register_at_fork(after_in_child=self._forget)

    def join(self) -> None:
        """Count another user. Raises: ExecutionError: it does not start."""
        with self._lock:
            self._running()
            self._users += 1

    def leave(self) -> None:
        """Count one user less; the last one ends it. Raises: ExecutionError."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._zygote is not None:
                self._zygote.close()
                self._zygote = None

    def running(self) -> Zygote:
        """The zygote, a new one if it was killed. Raises: ExecutionError."""
        with self._lock:
            return self._running()

    def _running(self) -> Zygote:
        if self._zygote is not None and not self._zygote.alive:
            self._zygote.close()
            self._zygote = None
        if self._zygote is None:
            self._zygote = Zygote(self.wrapper)
        return self._zygote

    def _forget(self) -> None:
        """A forked process has no right to its parent's zygote."""
        self._lock, self._users, self._zygote = threading.Lock(), 0, None


shared = SharedZygote()
"""The zygote of the executor `local`."""


class Lane:
    """Runs one worker at a time.

    Attributes:
        control: the socket to it; readable when a worker has exited or the lane is gone.
        missing: containment layers that its workers lack.
        pid: its process id as /proc shows it.
        alive: False once it did not answer; it is of no use any more.
    """

    def __init__(self, control: socket.socket, missing: Sequence[str], pid: int) -> None:
        self.control, self.missing, self.pid = control, tuple(missing), pid
        self.alive = True

    def begin(self, fds: Sequence[int]) -> bool:
        """Give a job to the waiting worker; False if the lane or its workers are gone."""
        answer = self._ask({"job": True}, fds)
        return answer is not None and bool(answer.get("begun"))

    def end_job(self) -> Exit | None:
        """End the worker and all it started; None if the lane itself is gone or stuck."""
        answer = self._ask({"kill": True})
        if answer is None or "exit" not in answer:
            return None
        over, rss = str(answer["over"]), answer["maxrss_kib"] / 1024
        return Exit(int(answer["exit"]), rss, float(answer["cpu_s"]), over)

    def close(self) -> None:
        """Have the lane end its workers and itself, and wait for it."""
        if self.alive:
            self.alive = False
            with contextlib.suppress(OSError):
                self.control.shutdown(socket.SHUT_WR)
                while _answer(self.control, _STOP_S) is not None:
                    pass
        self.control.close()

    def _ask(self, message: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any] | None:
        """The lane's answer; without one it is given up, and ends with its socket."""
        if not self.alive:
            return None
        try:
            wire.send(self.control, message, fds)
            answer = _answer(self.control, _ANSWER_S)
        except OSError:
            answer = None
        if answer is None:
            self.close()
        return answer


def _answer(control: socket.socket, timeout_s: float) -> dict[str, Any] | None:
    poller = select.poll()
    poller.register(control, select.POLLIN)
    if not poller.poll(timeout_s * 1000):
        return None
    try:
        return wire.receive(control)[0]
    except ValueError:
        return None


def _command(wrapper: Sequence[str], socket_fd: int) -> list[str]:
    program = [sys.executable, "-P", "-m", "nngpt.sandbox.zygote"]
    if not wrapper:
        return [*program, str(socket_fd)]
    # Container engines pass descriptor 3 on; here the socket has some other number.
    move = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execvp(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-c", move, str(socket_fd), *wrapper, *program, "3"]


def _sweep() -> None:
    """End the workers that came to this process because their zygote was killed.

    A worker and all it starts carry a mark that cannot be taken off, so nothing else of this
    process's children is touched.
    """
    deadline = time.monotonic() + _SWEEP_S
    while left := [pid for pid in processes.children(os.getpid()) if containment.is_marked(pid)]:
        for pid in left:
            processes.kill([*processes.descendants(pid), pid])
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue
        if time.monotonic() > deadline:
            raise ExecutionError("processes of a candidate cannot be ended")


def _environment() -> dict[str, str]:
    passed_on = {name: config.environment(name) for name in _PASSED_ON}
    package_root = str(Path(containment.__file__).resolve().parents[2])
    path = [entry or package_root for entry in sys.path]
    path += [] if package_root in path else [package_root]
    own = {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "TORCHDYNAMO_DISABLE": "1",  # torch.compile would start compilers; it runs eagerly
    }
    return {name: value for name, value in passed_on.items() if value is not None} | own
