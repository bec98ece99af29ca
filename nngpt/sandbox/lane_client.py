"""The runner's end of a lane: hand jobs to its workers, end them, receive the lane's answers."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nngpt.sandbox import wire

STOP_S = 5.0
"""Seconds that a process gets to end after its socket is closed."""

_ANSWER_S = 60.0


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended, as its lane reports.

    Attributes:
        status: wait status as of `os.waitpid`.
        maxrss_mb: peak resident memory in MiB.
        cpu_s: CPU seconds of all its threads and descendants, from its job on.
        over: the exceeded limit ("memory", "processes", "time", "sleep"), "" if none.
        killed: True if another process killed it (SIGKILL) within its limits, such as the kernel
            for lack of memory.
    """

    status: int
    maxrss_mb: float
    cpu_s: float
    over: str
    killed: bool = False


class LaneClient:
    """Connection to a lane, which runs one worker at a time (`nngpt.sandbox.lane`).

    Attributes:
        control: socket to the lane; readable when a worker has exited or the lane is gone.
        missing: names of the containment layers that its workers lack.
        alive: False once the lane failed to answer; it is never used again.
    """

    def __init__(self, control: socket.socket, missing: Sequence[str], pid: int) -> None:
        self.control, self.missing, self.pid = control, tuple(missing), pid
        self.alive = True
        self._own_s = 0.0
        self._exit: dict[str, Any] | None = None

    def begin(self, limit_s: float, fds: Sequence[int]) -> bool:
        """Pass a job's descriptors to the waiting worker; False if the lane cannot start one.

        The lane ends the worker after `limit_s` own seconds (`nngpt.sandbox.own_time`), or asleep.
        """
        self._own_s, self._exit = 0.0, None
        answer = self._request({"job": limit_s}, fds)
        return answer is not None and bool(answer.get("begun"))

    def own_s(self) -> float:
        """Return the worker's own seconds so far, as last known once it has ended."""
        if self._exit is None:
            answer = self._request({"own_s": True}) or {}
            self._own_s = float(answer.get("own_s", self._own_s))
            self._exit = answer if "exit" in answer else None
        return self._own_s

    def end_job(self, wait_s: float) -> WorkerExit | None:
        """End the worker and its descendants; return None if the lane is gone or stuck.

        A worker that seems to be ending gets `wait_s` seconds, so that its exit tells the reason.
        """
        answer = self._exit or self._request({"kill": wait_s})
        if answer is None or "exit" not in answer:
            return None
        over, rss = str(answer["over"]), answer["maxrss_kib"] / 1024
        killed = bool(answer["killed"])
        return WorkerExit(int(answer["exit"]), rss, float(answer["cpu_s"]), over, killed)

    def close(self) -> None:
        """Make the lane end its workers and itself, and wait for its end."""
        if self.alive:
            self.alive = False
            with contextlib.suppress(OSError):
                self.control.shutdown(socket.SHUT_WR)
                while receive_answer(self.control, STOP_S) is not None:
                    pass
        self.control.close()

    def _request(self, message: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any] | None:
        """Send a message and return the answer; close a lane that does not answer."""
        if not self.alive:
            return None
        answer = None
        with contextlib.suppress(OSError):
            wire.send(self.control, message, fds)
            answer = receive_answer(self.control, _ANSWER_S)
        if answer is None:
            self.close()
        return answer


def receive_answer(control: socket.socket, timeout_s: float) -> dict[str, Any] | None:
    """Wait for a lane's (or the zygote's) answer; None after the timeout or if it is gone."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    if not poller.poll(timeout_s * 1000):
        return None
    with contextlib.suppress(ValueError):
        return wire.receive(control)[0]
    return None
