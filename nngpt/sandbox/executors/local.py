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
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from nngpt.config import EvaluationConfig
from nngpt.errors import ExecutionError, UserError
from nngpt.protocols import Pruner
from nngpt.records import (
    Candidate,
    EpochResult,
    Evaluation,
    Exported,
    Refusal,
    Retraining,
    Stage,
    Task,
    Trial,
    canonical_json,
)
from nngpt.sandbox import containment, exit_reasons, exporter, sealed_memory
from nngpt.sandbox.folds import Fold, Folds
from nngpt.sandbox.judge import Budget, Judge, secret_order
from nngpt.sandbox.zygote_client import Exit, Lane, SharedZygote, shared

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

Outcome = Evaluation | Refusal
AnyJudge = TypeVar("AnyJudge", bound=Judge)

_READ = 1 << 16
_TAIL = 2000
_STARTS = 2
_FOLD_SEED = 1
_MIB = 1 << 20
_THREADS = 128


@dataclass(frozen=True)
class Heard(Generic[AnyJudge]):
    """A job that came to its end.

    Attributes:
        judge: who heard it.
        refusal: why it came to nothing, None if the judge is done.
        seconds: wall time.
        ended: how its worker ended, None if that is unknown.
    """

    judge: AnyJudge
    refusal: Refusal | None
    seconds: float
    ended: Exit | None


def create(
    splits: Splits, evaluation: EvaluationConfig, task: Task, pruner: Pruner | None = None
) -> LocalExecutor:
    """The executor, with its zygote warm and its first worker waiting.

    Raises:
        UserError: CUDA was asked for and is not there, or a containment layer is missing.
        ExecutionError: the zygote does not start.
    """
    return LocalExecutor(splits, evaluation, task, pruner)


class LocalExecutor:
    """Trains candidates and judges their logits; `evaluate` may be called from several threads.

    Attributes:
        level: containment level in force, with its layers.
        device: "cpu" or "cuda".
        workers: how many candidates it trains at once.
        pruner: consulted after each epoch of `evaluate`; None to train every candidate to the end.
    """

    def __init__(
        self,
        splits: Splits,
        evaluation: EvaluationConfig,
        task: Task,
        pruner: Pruner | None = None,
        zygote: SharedZygote = shared,
        around: str = "",
    ) -> None:
        """`around` names what the zygote's wrapper adds to the containment."""
        _refuse_other_systems()
        self.pruner = pruner
        self._zygote = zygote
        self._splits, self._evaluation, self._task = splits, evaluation, task
        if not _has_driver():
            _refuse_missing_cuda(evaluation.device)
        self._open = ExitStack()
        self._making = threading.Lock()
        self._opened: list[Lane] = []
        self._stopping, self._stop = os.pipe()
        for fd in (self._stopping, self._stop):
            self._open.callback(os.close, fd)
        self._lanes: queue.Queue[Lane | None] = queue.LifoQueue()
        zygote.join()
        self._open.callback(zygote.leave)
        try:
            self._refuse_threads()
            self._folds = Folds(splits, evaluation.folds, _FOLD_SEED, self._close_later)
            self.device = self._pick_device()
            _refuse_exposed(splits, self.device == "cuda")
            self.workers = _workers(evaluation, self.device)
            for _ in range(self.workers - 1):
                self._lanes.put(None)  # opened when it is needed
            first = self._open_lane()
            self._lanes.put(first)
            level = containment.level(first.missing, evaluation.sandbox)
            self.level = f"{level}, {around}" if around else level
            self._folds.fold(self._folds.numbers[0])
        except BaseException:
            self.close()
            raise

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Train the candidate in a process of its own and judge it from its logits.

        With several seeds or folds, in so many processes, one after another.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        results: list[Evaluation] = []
        for fold in self._folds.numbers:
            for number in range(self._evaluation.seeds):
                outcome = self._train(candidate, seed + number, fold, "own")
                if isinstance(outcome, Refusal):
                    return outcome
                results.append(outcome)
        return results[0] if len(results) == 1 else combined(results)

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Train the candidate's network with our own loop, on the first fold.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        start = time.monotonic()
        outcome = self._train(candidate, seed, self._folds.numbers[0], "plain")
        if isinstance(outcome, Refusal):
            seconds = time.monotonic() - start
            return Retraining(None, 0, seed, seconds, None, f"{outcome.stage}: {outcome.reason}")
        last = outcome.epochs[-1]
        return Retraining(last.accuracy, last.total, seed, outcome.seconds, outcome.cpu_s)

    def export(self, candidate: Candidate, seed: int, onnx: bool) -> Exported | Refusal:
        """Train the candidate once, on the first fold, and take its weights and an ONNX file.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        return exporter.export(self, candidate, seed, onnx)

    def stop(self) -> None:
        """Have every `evaluate`, running or to come, raise ExecutionError."""
        os.write(self._stop, b"x")

    def close(self) -> None:
        """End every process this executor started and free the data."""
        for lane in self._opened:
            lane.close()
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_threads(self) -> None:
        threads = self._zygote.running().threads
        if threads != 1 and self._evaluation.sandbox != "weak":
            raise ExecutionError(
                f"the supervisor of the sandbox has {threads} threads, so forking is unsafe",
                hint="Accept it with evaluation.sandbox=weak",
            )

    def _open_lane(self) -> Lane:
        """A lane of the zygote, or of a new one if it was killed."""
        threads = self._evaluation.threads
        with self._making:
            zygote = self._zygote.running()
            try:
                lane = zygote.open_lane(self._limits(), threads, self.device)
            except (ExecutionError, OSError):
                if not zygote.ends():
                    raise
                lane = self._zygote.running().open_lane(self._limits(), threads, self.device)
            self._opened = [*(lane for lane in self._opened if lane.alive), lane]
        return lane

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        """A free lane; waits for one. A lane that was killed is replaced by its next user."""
        lane = self._lanes.get()
        try:
            lane = lane or self._open_lane()
            yield lane
        finally:
            self._lanes.put(lane if lane and lane.alive else None)

    def _pick_device(self) -> str:
        asked = self._evaluation.device
        if asked == "cpu" or not _has_driver() or not self._zygote.running().has_cuda():
            _refuse_missing_cuda(asked)
            return "cpu"
        return "cuda"

    def _close_later(self, fd: int) -> None:
        self._open.callback(os.close, fd)

    def _train(self, candidate: Candidate, seed: int, number: int, loop: str) -> Outcome:
        fold = self.fold(number)
        order = secret_order(fold.validation_labels, candidate.content_hash, seed)
        budget = self.budget()
        pruned = self.pruner is not None and loop == "own"
        check = partial(self.pruner.should_stop, candidate, seed) if pruned else None

        def judge() -> Judge:
            labels, epochs = fold.validation_labels[order], self._evaluation.epochs
            return Judge(labels, self._splits.classes, epochs, budget, check)

        heard = self.attend(judge, self.describe(candidate, seed, fold, loop=loop), fold, order)
        return heard.refusal or self.evaluated(heard, seed, fold)

    def fold(self, number: int | None = None) -> Fold:
        """One of the ways to train and judge; the first if none is named."""
        with self._making:
            return self._folds.fold(self._folds.numbers[0] if number is None else number)

    def budget(self) -> Budget:
        """What a candidate may cost."""
        task, seconds = self._task, self._evaluation.budget_s
        return Budget(task.max_parameters, task.max_latency_ms, seconds)

    def attend(
        self,
        make_judge: Callable[[], AnyJudge],
        job: dict[str, Any],
        fold: Fold,
        order: npt.NDArray[np.int64],
        given: bytes | None = None,
    ) -> Heard[AnyJudge]:
        """Run a job in a worker of its own and hear it to its end.

        Args:
            make_judge: gives a judge who has heard nothing; a killed lane takes a second one.
            job: from `describe`.
            order: that of the validation images that the worker gets.
            given: a file for the worker, in place of training images and labels.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        for start in range(1, _STARTS + 1):
            heard = self._try(make_judge(), job, fold, order, given, last=start == _STARTS)
            if heard is not None:
                return heard
        raise ExecutionError("the supervisor of the sandbox died before a candidate ran, twice")

    def _try(
        self,
        judge: AnyJudge,
        job: dict[str, Any],
        fold: Fold,
        order: npt.NDArray[np.int64],
        given: bytes | None,
        last: bool,
    ) -> Heard[AnyJudge] | None:
        """One job; None if the lane was killed, for which the first time nobody is blamed."""
        with self._lane() as lane, self._job(job, fold, order, given) as (pipe, stderr, fds):
            start = time.monotonic()
            begun = lane.begin(fds)
            os.close(fds[1])  # the worker holds the only writing end now
            try:
                refusal = self._follow(judge, pipe, lane, start) if begun else None
            finally:  # also when the user interrupts
                seconds = time.monotonic() - start
                ended = lane.end_job()
            if not refusal and not judge.done:
                if ended is None and not last:
                    return None
                bounds = f"{self._evaluation.memory_mb} MiB", f"{_THREADS} threads and processes"
                tail = sealed_memory.tail(stderr, _TAIL)
                refusal = exit_reasons.refusal(judge.stage, ended, tail, bounds)
                if refusal is None:
                    return None
            return Heard(judge, refusal, seconds, ended)

    @contextmanager
    def _job(
        self,
        description: dict[str, Any],
        fold: Fold,
        order: npt.NDArray[np.int64],
        given: bytes | None,
    ) -> Iterator[tuple[int, int, list[int]]]:
        """The reading end of the pipe, the worker's stderr, and the descriptors it gets."""
        unseen = fold.validation_images
        with ExitStack() as stack:
            pipe, writing = os.pipe()
            stack.callback(os.close, pipe)
            stderr = os.memfd_create("stderr")
            job = sealed_memory.sealed("job", [json.dumps(description).encode()])
            images = sealed_memory.sealed("validation-images", sealed_memory.chunks(unseen, order))
            for fd in (stderr, job, images):
                stack.callback(os.close, fd)
            if given is None:
                seen = [*map(sealed_memory.reopened, (fold.train_images, fold.train_labels))]
            else:
                seen = [sealed_memory.sealed("file", [given]), sealed_memory.sealed("nothing", [])]
            for fd in seen:
                stack.callback(os.close, fd)
            yield pipe, stderr, [stderr, writing, job, *seen, images]

    def describe(
        self, candidate: Candidate, seed: int, fold: Fold, loop: str = "own", **more: object
    ) -> dict[str, Any]:
        """What the worker must know, as JSON; `loop` is the candidate's "own" or our "plain"."""
        splits, evaluation = self._splits, self._evaluation
        return {
            "work": "train",
            "code": candidate.code,
            "hyperparameters": dict(candidate.hyperparameters),
            "transform": candidate.transform,
            "batch": candidate.batch,
            "answer_batch": min(max(candidate.batch, 64), 512),
            "epochs": evaluation.epochs,
            "seed": seed,
            "loop": loop,
            "precision": evaluation.precision,
            "memory_format": evaluation.memory_format,
            "stop_on_divergence": evaluation.stop_on_divergence,
            "latency": evaluation.latency or self._task.max_latency_ms is not None,
            "device": self.device,
            "classes": splits.classes,
            "shape": list(splits.shape),
            "mean": list(splits.mean),
            "std": list(splits.std),
            "train_count": fold.train_count,
            "validation_count": len(fold.validation_labels),
            **more,
        }

    def _limits(self) -> containment.Limits:
        """Bounds for one worker; the data it maps does not count as its own memory."""
        pixels = math.prod(self._splits.shape)
        data = self._folds.largest * (pixels + 8)
        return containment.Limits(
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

    def evaluated(self, heard: Heard[AnyJudge], seed: int, fold: Fold) -> Evaluation:
        """What a judge has heard of a training that came to its end."""
        judge, ended = heard.judge, heard.ended
        last = judge.epochs[-1]
        protocol = self._evaluation.protocol()
        if judge.would_stop is not None:
            protocol["would_stop"] = judge.would_stop
        if judge.ceiling is not None:
            protocol["ceiling"] = round(judge.ceiling, 4)
        return Evaluation(
            epochs=tuple(judge.epochs),
            claimed_parameters=judge.parameters,
            seconds=heard.seconds,
            device=self.device,
            seed=seed,
            sandbox=self.level,
            peak_memory_mb=round(ended.maxrss_mb, 1) if ended else None,
            cpu_s=ended.cpu_s if ended else None,
            claimed_flops=judge.flops,
            claimed_latency_ms=judge.latency_ms,
            claimed_batches=judge.batches,
            protocol=canonical_json(protocol),
            trials=(Trial(seed, fold.number, last.accuracy, last.total),),
        )


def combined(results: list[Evaluation]) -> Evaluation:
    """Several trainings of one candidate as one: answers are counted together."""
    first = results[0]
    return replace(
        first,
        epochs=tuple(_pooled(epochs) for epochs in zip(*(r.epochs for r in results), strict=True)),
        seconds=sum(r.seconds for r in results),
        cpu_s=sum(r.cpu_s or 0 for r in results),
        peak_memory_mb=max((r.peak_memory_mb or 0 for r in results), default=None),
        claimed_batches=sum(r.claimed_batches or 0 for r in results),
        trials=tuple(trial for r in results for trial in r.trials),
    )


def _pooled(epochs: tuple[EpochResult, ...]) -> EpochResult:
    correct, total = sum(e.correct for e in epochs), sum(e.total for e in epochs)
    seconds = sum(e.seconds for e in epochs)
    return EpochResult(epochs[0].epoch, correct / total, correct, total, seconds)


def _workers(evaluation: EvaluationConfig, device: str) -> int:
    """How many candidates train at once: as many as have cores to themselves, on a GPU one."""
    if evaluation.workers != "auto":
        return evaluation.workers
    cores = len(os.sched_getaffinity(0))
    return 1 if device == "cuda" else max(1, cores // evaluation.threads)


def _has_driver() -> bool:
    """Without a driver there is nothing to ask torch for."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _refuse_other_systems() -> None:
    if not sys.platform.startswith("linux"):
        raise UserError(
            f"candidates cannot be contained on {sys.platform}",
            where="evaluation.executor",
            hint="Use Linux (a virtual machine or a container will do)",
        )


def _refuse_exposed(splits: Splits, cuda: bool) -> None:
    """No folder that a worker can read may hold the answers."""
    parts = (splits.validation, splits.test)
    if found := containment.exposed([part.labels for part in parts], cuda):
        raise UserError(
            "candidates could read the labels: they lie among Python's or the system's libraries",
            where=str(found),
            hint="Set NNGPT_CACHE to a folder elsewhere",
        )


def _refuse_missing_cuda(asked: str) -> None:
    if asked == "cuda":
        raise UserError(
            "device 'cuda' is not there",
            where="evaluation.device",
            hint="Use evaluation.device=cpu, or install a driver and a CUDA build of torch",
        )
