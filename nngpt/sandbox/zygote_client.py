"""The runner's end of the zygote: start it, share it between executors, open lanes, end it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import nngpt
from nngpt import files, gpus
from nngpt.errors import ExecutionError, UserError
from nngpt.gpus import Gpu
from nngpt.sandbox import processes, sealed_memory, wire
from nngpt.sandbox.containment import Limits, is_marked
from nngpt.sandbox.lane_client import STOP_S, LaneClient, receive_answer
from nngpt.sandbox.layers import kernel

_START_S = 300.0
_PROBE_S = 120.0
_SWEEP_S = 10.0
_LITTLE_MEMORY = 512 << 20

# All that Python, torch and CUDA need from outside; no variable here shows where labels are kept.
_PASSED_ON = (
    *("PATH", "LANG", "LD_LIBRARY_PATH", "CUDA_HOME"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "ATEN_CPU_CAPABILITY", "MKL_CBWR"),
)


class ZygoteClient:
    """One running zygote process, from which lanes fork (`nngpt.sandbox.zygote`).

    Attributes:
        pid: process id; with a process namespace, of the process that waits for its first one.
        threads: number of threads when it was ready; forking is safe only if it is 1.
    """

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        """Start the zygote, by the command `wrapper` if given. Raises: ExecutionError."""
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
        ready = receive_answer(self._control, _START_S)
        if ready is None:
            errors = self._last_errors()
            self.close()
            raise ExecutionError(f"the supervisor of the sandbox does not start: {errors}")
        self.threads = int(ready["ready"])

    @property
    def alive(self) -> bool:
        """False once the zygote has ended."""
        return self._process.poll() is None

    def ends(self) -> bool:
        """Wait a few seconds for the zygote to end, because it was killed; return True if so."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        return not self.alive

    def gpus(self) -> list[Gpu]:
        """Return the GPUs that workers of the zygote could use."""
        wire.send(self._control, {"probe": "gpus"})
        answer = receive_answer(self._control, _PROBE_S) or {"gpus": []}
        return [Gpu(**facts) for facts in answer["gpus"]]

    def open_lane(self, limits: Limits, threads: int, device: str, gpu: Gpu | None) -> LaneClient:
        """Fork a lane, pinned to `gpu` if given, and return it once its first worker waits.

        Raises:
            UserError: the worker does not start, and a limit is suspiciously small.
            ExecutionError: the worker does not start.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pinned = asdict(gpu) if gpu else None
        settings = {"limits": asdict(limits), "threads": threads, "device": device, "gpu": pinned}
        with theirs:
            try:
                wire.send(self._control, {"lane": settings}, [theirs.fileno()])
            except OSError:
                ours.close()
                raise ExecutionError("the supervisor of the sandbox is gone") from None
        ready = receive_answer(ours, _START_S)
        if ready is None or ready["ready"] is None:
            ours.close()
            what = f"a worker of the sandbox does not start: {self._last_errors() or 'no reason'}"
            if limits.memory_bytes < _LITTLE_MEMORY:
                hint = f"{limits.memory_bytes >> 20} MiB may be too little"
                raise UserError(what, where="evaluation.memory_mb", hint=hint)
            if threads >= limits.processes:
                hint = f"{threads:,} threads are more than the {limits.processes} tasks of a worker"
                raise UserError(what, where="evaluation.threads", hint=hint)
            raise ExecutionError(what)
        return LaneClient(ours, ready["ready"], int(ready["listed"]))

    def close(self) -> None:
        """End the zygote and all its descendants. Raises: ExecutionError."""
        self._control.close()
        if not self.ends():
            self._process.kill()
            self._process.wait()
        _end_orphaned_workers()
        os.close(self._errors)

    def _last_errors(self) -> str:
        return sealed_memory.tail(self._errors, 2000).strip()


class SharedZygote:
    """A zygote that all executors of this process share; started for the first, ended by the last.

    Starting a zygote takes seconds, opening a lane does not. Lanes are isolated from each other.
    The command `wrapper`, if not empty, starts the zygote and passes descriptor 3 on.
    """

    def __init__(self, wrapper: Sequence[str] = ()) -> None:
        self.wrapper = tuple(wrapper)
        self._lock = threading.RLock()
        self._users = 0
        self._zygote: ZygoteClient | None = None
        os.register_at_fork(after_in_child=self._forget)

    def join(self) -> None:
        """Add a user of the shared zygote; the first one starts it. Raises: ExecutionError."""
        with self._lock:
            self.running()
            self._users += 1

    def leave(self) -> None:
        """Remove a user of the shared zygote; the last one ends it. Raises: ExecutionError."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._zygote is not None:
                self._zygote.close()
                self._zygote = None

    def running(self) -> ZygoteClient:
        """Return the shared zygote, restarted if it was killed. Raises: ExecutionError."""
        with self._lock:
            if self._zygote is not None and not self._zygote.alive:
                self._zygote.close()
                self._zygote = None
            if self._zygote is None:
                self._zygote = ZygoteClient(self.wrapper)
            return self._zygote

    def _forget(self) -> None:
        """Drop the parent's zygote in a forked process, which must not use it."""
        self._lock, self._users, self._zygote = threading.RLock(), 0, None


shared = SharedZygote()
"""The zygote of the executor `local`."""


def _command(wrapper: Sequence[str], socket_fd: int) -> list[str]:
    program = [sys.executable, "-P", "-m", "nngpt.sandbox.zygote"]
    if not wrapper:
        return [*program, str(socket_fd)]
    # Container engines pass on descriptor 3 only; here the socket has some other number.
    move = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execvp(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-c", move, str(socket_fd), *wrapper, *program, "3"]


def _end_orphaned_workers() -> None:
    """End workers that this process inherited because their zygote was killed.

    A worker and its descendants carry a mark that they cannot remove, so no other child of this
    process is touched. Raises: ExecutionError if some are still alive after ten seconds.
    """
    try:
        processes.end_descendants(_SWEEP_S, is_marked)
    except TimeoutError as error:
        raise ExecutionError(str(error)) from None


def _environment() -> dict[str, str]:
    """Return the environment of the zygote: a few variables passed on and fixed settings."""
    passed_on = {name: files.environment(name) for name in _PASSED_ON}
    passed_on[gpus.VISIBLE] = gpus.left_to_sandbox()
    package_root = str(Path(nngpt.__file__).resolve().parents[1])
    path = [entry or package_root for entry in sys.path]
    path += [] if package_root in path else [package_root]
    own = {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads sleep: a loaded machine would let them spin
        "KMP_BLOCKTIME": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "TORCHDYNAMO_DISABLE": "1",  # torch.compile would start compilers; it runs eagerly
    }
    return {name: value for name, value in passed_on.items() if value is not None} | own
