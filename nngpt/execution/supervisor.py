"""The runner's side of the zygote: starts it, hands it jobs, ends it, replaces it."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nngpt import config
from nngpt.errors import ExecutionError
from nngpt.execution import limits, memory, processes, wire

_START_S = 300.0
_ANSWER_S = 30.0
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
        over: what it had too much of ("memory", "processes"), "" if nothing.
    """

    status: int
    maxrss_mb: float
    over: str


class Zygote:
    """One zygote process.

    Attributes:
        pid: its process id.
        threads: number of threads it had when it was ready (1, or forking is unsafe).
        control: the socket to it; readable when a worker has exited or the zygote is gone.
    """

    def __init__(self) -> None:
        """Raises: ExecutionError: it does not start."""
        self._scratch = Path(tempfile.mkdtemp(prefix="nngpt-"))
        self._errors = os.memfd_create("zygote-stderr")
        self.control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        limits.adopt_orphans()
        with other:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "nngpt.execution.zygote"),
                    *(str(other.fileno()), str(self._scratch)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[other.fileno()],
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        self.pid = self._process.pid
        ready = self._answer(_START_S)
        if ready is None:
            said = memory.tail(self._errors, 2000).strip()
            self.close()
            raise ExecutionError(f"the supervisor of the sandbox does not start: {said}")
        self.threads = int(ready["ready"])

    def has_cuda(self) -> bool:
        """True if a worker could use CUDA; asked in a process of its own."""
        wire.send(self.control, {"probe": "cuda"})
        return bool((self._answer(2 * _ANSWER_S) or {}).get("cuda"))

    def begin(self, bounds: limits.Limits, weak: bool, fds: Sequence[int]) -> int | None:
        """Fork a worker; its process id, or None if the zygote is gone."""
        job = {"limits": asdict(bounds), "weak": weak}
        try:
            wire.send(self.control, {"job": job}, fds)
        except OSError:
            return None
        answer = self._answer(_ANSWER_S)
        return int(answer["pid"]) if answer else None

    def end_job(self) -> Exit | None:
        """End the worker and all it started; None if the zygote itself is gone or stuck."""
        try:
            wire.send(self.control, {"kill": True})
        except OSError:
            return None
        answer = self._answer(_ANSWER_S)
        if answer is None or "exit" not in answer:
            return None
        return Exit(int(answer["exit"]), answer["maxrss_kib"] / 1024, str(answer["over"]))

    def close(self) -> None:
        """End the zygote, its worker, and whatever outlived them. Raises: ExecutionError."""
        self.control.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _sweep()
        os.close(self._errors)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _answer(self, timeout_s: float) -> dict[str, Any] | None:
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        if not poller.poll(timeout_s * 1000):
            return None
        try:
            return wire.receive(self.control)[0]
        except ValueError:
            return None


def _sweep() -> None:
    """End the workers that came to this process because their zygote was killed.

    A worker and all it starts carry a mark that cannot be taken off, so nothing else of this
    process's children is touched.
    """
    deadline = time.monotonic() + _SWEEP_S
    while left := [pid for pid in processes.children(os.getpid()) if limits.is_marked(pid)]:
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
    package_root = str(Path(limits.__file__).resolve().parents[2])
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
    }
    return {name: value for name, value in passed_on.items() if value is not None} | own
