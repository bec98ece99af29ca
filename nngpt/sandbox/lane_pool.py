"""A pool of lanes: run each job in a free lane, and feed the judge from the worker's pipe."""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from nngpt.config import EvaluationConfig
from nngpt.errors import ExecutionError
from nngpt.gpus import Gpu
from nngpt.records import Refusal
from nngpt.sandbox import exit_reasons, sealed_memory
from nngpt.sandbox.containment import Limits
from nngpt.sandbox.jobs import AnyJudge, Job, JobResult
from nngpt.sandbox.judge import Judge
from nngpt.sandbox.lane_client import LaneClient
from nngpt.sandbox.zygote_client import SharedZygote

_READ = 1 << 16
_TAIL = 2000
_CHECK_S = 30.0
_ENDING_S = 1.0
"""Seconds that a worker which has closed its pipe gets to end."""


class LanePool:
    """Lanes of one executor; `run` may be called from several threads.

    The first lane opens at once, the others when they are needed. A killed lane is replaced. Lanes
    have numbers: of G GPUs, lane i is pinned to GPU i modulo G, and the lowest free lane gets the
    next job, so that each GPU has a job before one has two.

    Attributes:
        missing: names of the containment layers that the workers lack.
    """

    def __init__(
        self,
        zygote: SharedZygote,
        limits: Limits,
        evaluation: EvaluationConfig,
        device: str,
        workers: int,
        gpus: Sequence[Gpu] = (),
    ) -> None:
        """Open the pool with the first of `workers` lanes. Raises: ExecutionError."""
        self._zygote, self._limits = zygote, limits
        self._evaluation, self._device, self._gpus = evaluation, device, gpus
        self._opening = threading.Lock()
        self._numbered: dict[int, LaneClient] = {}
        self.missing = self._open_lane(0).missing
        self._free: queue.Queue[int] = queue.PriorityQueue()
        for number in range(workers):
            self._free.put(number)
        self._stopping, self._stop = os.pipe()

    @property
    def lanes(self) -> list[LaneClient]:
        """Lanes that were opened and not replaced."""
        return list(self._numbered.values())

    def run(
        self, job: Job, make_judge: Callable[[], AnyJudge], limit_s: float
    ) -> JobResult[AnyJudge]:
        """Run a job in a worker of its own, and in a second one if it or its lane was killed.

        Args:
            limit_s: own seconds of the worker after which it is ended (`nngpt.sandbox.own_time`).

        Raises: ExecutionError if the sandbox itself does not work, or `stop` was called.
        """
        result = self._run_once(job, make_judge(), limit_s)
        if not result.decided and (result.ended is None or result.ended.killed):
            # Whoever killed them, such as a kernel without memory: at first no candidate is blamed.
            result = self._run_once(job, make_judge(), limit_s)
        late = result.ended is not None and result.ended.over == "time"
        if result.refusal or (result.judge.done and not late):
            return result
        limits = {
            "memory": f"{self._evaluation.memory_mb} MiB",
            "processes": f"{self._limits.processes} threads and processes",
            "time": f"{limit_s:g} {'GPU' if self._limits.cuda else 'CPU'} seconds",
            "sleep": f"{limit_s:g} seconds",
        }
        stage, ended = result.judge.stage, result.ended
        refusal = exit_reasons.exit_refusal(stage, ended, result.stderr, limits)
        return replace(result, refusal=refusal)

    def stop(self) -> None:
        """Make every `run` of the pool, running or future, raise ExecutionError."""
        os.write(self._stop, b"x")

    def close(self) -> None:
        """End all lanes of the pool and their workers."""
        for lane in self.lanes:
            lane.close()
        os.close(self._stopping)
        os.close(self._stop)

    def _run_once(self, job: Job, judge: AnyJudge, limit_s: float) -> JobResult[AnyJudge]:
        with self._lane() as lane, job.files() as (result, files):
            stderr, writing, *_ = files
            start, judge.own_s = time.monotonic(), lane.own_s
            begun = lane.begin(limit_s, files)
            os.close(writing)  # the worker has the only writing end now
            decided = True
            try:
                refusal = self._feed(judge, result, lane) if begun else None
                decided = refusal is not None or judge.done
            finally:  # also when the user interrupts
                seconds = time.monotonic() - start
                ended = lane.end_job(wait_s=0 if decided else _ENDING_S) if begun else None
            errors = "" if decided else sealed_memory.tail(stderr, _TAIL)
            return JobResult(judge, refusal, seconds, ended, errors)

    def _feed(self, judge: Judge, result: int, lane: LaneClient) -> Refusal | None:
        """Pass output to the judge until it decides or the worker ends."""
        control = lane.control.fileno()
        poller = select.poll()
        for fd in (result, control, self._stopping):
            poller.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll(_CHECK_S * 1000)}
            if self._stopping in ready:
                raise ExecutionError("stopped")
            if not ready:
                lane.own_s()  # the lane ends its worker in time, unless it is stuck itself
            if result not in ready:
                if ready or not lane.alive:
                    return None
                continue
            data = os.read(result, _READ)
            refusal = judge.feed(data)
            if refusal or judge.done or not data:
                return refusal

    @contextmanager
    def _lane(self) -> Iterator[LaneClient]:
        """Take a free lane, waiting for one; its next user replaces it if it was killed."""
        number = self._free.get()
        try:
            lane = self._numbered.get(number)
            yield lane if lane and lane.alive else self._open_lane(number)
        finally:
            self._free.put(number)

    def _open_lane(self, number: int) -> LaneClient:
        """Open a lane of the zygote, or of a new zygote if the old one was killed."""
        gpu = self._gpus[number % len(self._gpus)] if self._gpus else None
        settings = self._limits, self._evaluation.threads, self._device, gpu
        with self._opening:
            zygote = self._zygote.running()
            try:
                lane = zygote.open_lane(*settings)
            except (ExecutionError, OSError):
                if not zygote.ends():
                    raise
                lane = self._zygote.running().open_lane(*settings)
            self._numbered[number] = lane
        return lane
