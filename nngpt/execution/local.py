"""Executor `local`: candidates on this machine, each in a contained process of its own.

runner (labels) ── control socket ── lane (forked from the zygote) ── worker (candidate)
       └──────────────────── result pipe: phases and raw logits ──────────┘
"""

from __future__ import annotations

import json
import math
import os
import queue
import select
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nngpt.config import EvaluationConfig
from nngpt.errors import ExecutionError, UserError
from nngpt.execution import endings, limits, memory
from nngpt.execution.scoring import Judge, secret_order
from nngpt.execution.supervisor import Exit, Lane, Zygote
from nngpt.records import Candidate, Evaluation, Refusal, Stage, Task

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

_READ = 1 << 16
_TAIL = 2000
_STARTS = 2
_MIB = 1 << 20
_THREADS = 128


def create(splits: Splits, evaluation: EvaluationConfig, task: Task) -> LocalExecutor:
    """The executor, with its zygote warm and its first worker waiting.

    Raises:
        UserError: CUDA was asked for and is not there, or a containment layer is missing.
        ExecutionError: the zygote does not start.
    """
    return LocalExecutor(splits, evaluation, task)


class LocalExecutor:
    """Trains candidates and judges their logits; `evaluate` may be called from several threads.

    Attributes:
        level: containment level in force, with its layers.
        device: "cpu" or "cuda".
        workers: how many candidates it trains at once.
    """

    def __init__(self, splits: Splits, evaluation: EvaluationConfig, task: Task) -> None:
        self._splits, self._evaluation, self._task = splits, evaluation, task
        if not _has_driver():
            _refuse_missing_cuda(evaluation.device)
        self._open = ExitStack()
        self._starting = threading.Lock()
        self._stopping, self._stop = os.pipe()
        for fd in (self._stopping, self._stop):
            self._open.callback(os.close, fd)
        self._lanes: queue.Queue[Lane | None] = queue.LifoQueue()
        self._zygote: Zygote | None = self._start()
        try:
            self._labels = np.array(splits.validation.open_labels(), np.int64)
            self.device = self._pick_device(self._zygote)
            self.workers = _workers(evaluation, self.device)
            for _ in range(self.workers - 1):
                self._lanes.put(None)  # opened when it is needed
            first = self._open_lane()
            self._lanes.put(first)
            self.level = limits.level(first.missing, evaluation.sandbox)
            self._train = self._seal_training_data()
        except (UserError, OSError):
            self.close()
            raise

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Train the candidate in a process of its own and judge it from its logits.

        The parameter count is the worker's claim; everything else is measured here.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        for _ in range(_STARTS):
            outcome = self._try(candidate, seed)
            if outcome is not None:
                return outcome
        raise ExecutionError("the supervisor of the sandbox died before a candidate ran, twice")

    def stop(self) -> None:
        """Have every `evaluate`, running or to come, raise ExecutionError."""
        os.write(self._stop, b"x")

    def close(self) -> None:
        """End every process this executor started and free the data."""
        while not self._lanes.empty():
            if lane := self._lanes.get():
                lane.close()
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> Zygote:
        zygote = Zygote()
        if zygote.threads != 1 and self._evaluation.sandbox != "weak":
            zygote.close()
            raise ExecutionError(
                f"the supervisor of the sandbox has {zygote.threads} threads, so forking is unsafe",
                mend="Accept it with evaluation.sandbox=weak",
            )
        return zygote

    def _open_lane(self) -> Lane:
        """A lane of the zygote, or of a new one if it was killed."""
        with self._starting:
            if self._zygote is None or not self._zygote.alive:
                if self._zygote is not None:
                    self._zygote.close()
                self._zygote = self._start()
            return self._zygote.open_lane(self._limits(), self._evaluation.threads, self.device)

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        """A free lane; waits for one. A lane that was killed is replaced by its next user."""
        lane = self._lanes.get()
        try:
            lane = lane or self._open_lane()
            yield lane
        finally:
            self._lanes.put(lane if lane and lane.alive else None)

    def _pick_device(self, zygote: Zygote) -> str:
        asked = self._evaluation.device
        if asked == "cpu" or not _has_driver() or not zygote.has_cuda():
            _refuse_missing_cuda(asked)
            return "cpu"
        return "cuda"

    def _seal_training_data(self) -> list[int]:
        part = self._splits.train
        arrays: dict[str, npt.NDArray[Any]] = {
            "train-images": np.asarray(part.open_images()),
            "train-labels": np.asarray(part.open_labels(), np.int64),
        }
        fds = [memory.sealed(name, memory.chunks(array)) for name, array in arrays.items()]
        for fd in fds:
            self._open.callback(os.close, fd)
        return fds

    def _try(self, candidate: Candidate, seed: int) -> Evaluation | Refusal | None:
        """One evaluation; None if the lane was gone before the candidate ran."""
        order = secret_order(self._labels, candidate.content_hash, seed)
        judge = Judge(
            self._labels[order],
            self._splits.classes,
            self._evaluation.epochs,
            self._task.max_parameters,
        )
        with self._lane() as lane, self._job(candidate, seed, order) as (pipe, stderr, fds):
            start = time.monotonic()
            begun = lane.begin(fds)
            os.close(fds[1])  # the worker holds the only writing end now
            try:
                refusal = self._follow(judge, pipe, lane, start) if begun else None
            finally:  # also when the user interrupts
                seconds = time.monotonic() - start
                ended = lane.end_job()
            if refusal or judge.done:
                return refusal or self._evaluated(judge, seed, seconds, ended)
            bounds = f"{self._evaluation.memory_mb} MiB", f"{_THREADS} threads and processes"
            return endings.refusal(judge.stage, ended, memory.tail(stderr, _TAIL), bounds)

    @contextmanager
    def _job(
        self, candidate: Candidate, seed: int, order: npt.NDArray[np.int64]
    ) -> Iterator[tuple[int, int, list[int]]]:
        """The reading end of the pipe, the worker's stderr, and the descriptors it gets."""
        unseen = self._splits.validation.open_images()
        with ExitStack() as stack:
            pipe, writing = os.pipe()
            stack.callback(os.close, pipe)
            stderr = os.memfd_create("stderr")
            job = memory.sealed("job", [self._describe(candidate, seed)])
            images = memory.sealed("validation-images", memory.chunks(unseen, order))
            for fd in (stderr, job, images):
                stack.callback(os.close, fd)
            yield pipe, stderr, [stderr, writing, job, *self._train, images]

    def _describe(self, candidate: Candidate, seed: int) -> bytes:
        splits = self._splits
        job = {
            "code": candidate.code,
            "hyperparameters": dict(candidate.hyperparameters),
            "transform": candidate.transform,
            "batch": candidate.batch,
            "answer_batch": min(max(candidate.batch, 64), 512),
            "epochs": self._evaluation.epochs,
            "seed": seed,
            "threads": self._evaluation.threads,
            "device": self.device,
            "classes": splits.classes,
            "shape": list(splits.shape),
            "mean": list(splits.mean),
            "std": list(splits.std),
            "train_count": splits.train.count,
            "validation_count": len(self._labels),
        }
        return json.dumps(job).encode()

    def _limits(self) -> limits.Limits:
        """Bounds for one worker; the data it maps does not count as its own memory."""
        pixels = math.prod(self._splits.shape)
        data = (self._splits.train.count + len(self._labels)) * (pixels + 8)
        return limits.Limits(
            memory_bytes=self._evaluation.memory_mb * _MIB + data,
            cpu_s=math.ceil(self._evaluation.wall_s * (self._evaluation.threads + 1)) + 5,
            processes=_THREADS,
            cuda=self.device == "cuda",
        )

    def _follow(self, judge: Judge, pipe: int, lane: Lane, start: float) -> Refusal | None:
        """Feed the judge until it has decided or nothing more can come."""
        control = lane.control.fileno()
        poller = select.poll()
        poller.register(pipe, select.POLLIN)
        poller.register(control, select.POLLIN)
        poller.register(self._stopping, select.POLLIN)
        while True:
            left = start + self._evaluation.wall_s - time.monotonic()
            ready = {fd for fd, _ in poller.poll(left * 1000)} if left > 0 else set()
            if not ready:
                reason = f"took longer than {self._evaluation.wall_s:g} s"
                return Refusal(judge.stage or Stage.BUILD, reason)
            if self._stopping in ready:
                raise ExecutionError("stopped")
            if pipe not in ready:
                return None
            data = os.read(pipe, _READ)
            refusal = judge.feed(data)
            if refusal or judge.done or not data:
                return refusal

    def _evaluated(self, judge: Judge, seed: int, seconds: float, ended: Exit | None) -> Evaluation:
        return Evaluation(
            epochs=tuple(judge.epochs),
            claimed_parameters=judge.parameters,
            seconds=seconds,
            device=self.device,
            seed=seed,
            sandbox=self.level,
            peak_memory_mb=round(ended.maxrss_mb, 1) if ended else None,
        )


def _workers(evaluation: EvaluationConfig, device: str) -> int:
    """How many candidates train at once: as many as have cores to themselves, on a GPU one."""
    if evaluation.workers != "auto":
        return evaluation.workers
    cores = len(os.sched_getaffinity(0))
    return 1 if device == "cuda" else max(1, cores // evaluation.threads)


def _has_driver() -> bool:
    """Without a driver there is nothing to ask torch for."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _refuse_missing_cuda(asked: str) -> None:
    if asked == "cuda":
        raise UserError(
            "device 'cuda' is not there",
            where="evaluation.device",
            mend="Use evaluation.device=cpu, or install a driver and a CUDA build of torch",
        )
