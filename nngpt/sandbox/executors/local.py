"""Executor `local`: candidates on this machine, each in a contained process of its own.

runner (labels) ── control socket ── lane (forked from the zygote) ── worker (candidate)
       └──────────────────── result pipe: phases and raw logits ──────────┘
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Self, cast

from nngpt import plugins
from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.errors import UserError
from nngpt.gpus import Gpu, processor
from nngpt.protocols import PromptMode, Pruner
from nngpt.records import (
    MOST_PER_GPU,
    Candidate,
    EpochResult,
    Evaluation,
    Exported,
    Package,
    Refusal,
    Retraining,
    Stage,
    StagedTraining,
    Task,
    TrainingStage,
    Trial,
    canonical_json,
    extra_epochs,
)
from nngpt.sandbox import containment, preconditions, reference
from nngpt.sandbox.containment import Limits
from nngpt.sandbox.exporter import Exporter
from nngpt.sandbox.folds import Fold, Folds
from nngpt.sandbox.jobs import AnyJudge, JobFactory, JobResult
from nngpt.sandbox.judge import Budget, Judge
from nngpt.sandbox.lane_pool import LanePool
from nngpt.sandbox.packager import Packager
from nngpt.sandbox.stages import StageTrainer
from nngpt.sandbox.zygote_client import SharedZygote, shared

_FOLD_SEED = 1
_MIB = 1 << 20
_PROCESSES = 128
_CONTEXT_BYTES = 1 << 30
"""GPU memory of a lane besides its candidate's: CUDA's contexts of this worker and the next one."""

_LEAST_EXTRA_S = 0.3
"""Own seconds that a training may take longer than our own loop in any case: noise of the clock."""

_STAGE_TIMES = 3.0
"""Own seconds that a stage may take, as a multiple of its time on all its threads."""

_shared_by_wrapper = lru_cache(SharedZygote)


def create(
    splits: Splits, evaluation: EvaluationConfig, task: Task, pruner: Pruner | None = None
) -> LocalExecutor:
    """Return the executor `local`, with its zygote warm and its first worker waiting.

    Raises:
        UserError: CUDA was asked for and is not available, or a containment layer is missing.
        ExecutionError: the zygote does not start.
    """
    return LocalExecutor(splits, evaluation, task, pruner)


def create_wrapped(
    name: str,
    wrapper: Sequence[str],
    splits: Splits,
    evaluation: EvaluationConfig,
    task: Task,
    pruner: Pruner | None,
) -> LocalExecutor:
    """Return a `local` executor whose zygote the command `wrapper`, called `name`, starts.

    Raises: as `create`, and UserError if the wrapper's program is not installed.
    """
    if shutil.which(wrapper[0]) is None:
        what = f"the program {wrapper[0]!r} is not installed"
        hint = "Install it, or use evaluation.executor=local"
        raise UserError(what, where="evaluation.executor", hint=hint)
    zygote = _shared_by_wrapper(tuple(wrapper))
    return LocalExecutor(splits, evaluation, task, pruner, zygote, around=name)


class LocalExecutor:
    """Trains candidates and judges their logits; `evaluate` may be called from several threads.

    Args:
        zygote: parent process of the lanes; by default shared by the executors of this process.
        around: containment added by the zygote's wrapper, such as "bubblewrap".

    Attributes:
        level: containment level in force, with its layers.
        workers: number of candidates that train at once.
        limit_s: own seconds after which a training is ended, None before `calibrate`.
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
        preconditions.refuse_other_systems()
        if not preconditions.has_cuda_driver():
            preconditions.refuse_missing_cuda(evaluation.device)
        preconditions.refuse_missing_images(splits)
        self.pruner = pruner
        self._splits, self._evaluation = splits, evaluation
        most = task.max_parameters, task.max_latency_ms, evaluation.budget_s
        self._budget = Budget(*most, task.least_proxy)
        self.limit_s = None if evaluation.limit_s == "auto" else evaluation.limit_s
        self._calibrating = threading.Lock()
        self._open = ExitStack()
        zygote.join()
        self._open.callback(zygote.leave)
        try:
            preconditions.refuse_threads(zygote.running(), evaluation.sandbox)
            self._folds = Folds(splits, evaluation.folds, _FOLD_SEED)
            self._open.callback(self._folds.close)
            gpus = _pick_gpus(zygote, evaluation.device)
            self.device = "cuda" if gpus else "cpu"
            self._gpu = gpus[0].name if gpus else ""
            preconditions.refuse_exposed_labels(splits, self.device == "cuda")
            self.workers = self._pick_workers(gpus)
            self._sharing = -(-self.workers // len(gpus)) if gpus else 0
            limits = Limits(self._memory_bytes(), _PROCESSES, self._sharing)
            self._pool = LanePool(zygote, limits, evaluation, self.device, self.workers, gpus)
            self._open.callback(self._pool.close)
            level = containment.level(self._pool.missing, evaluation.sandbox)
            self.level = f"{level}, {around}" if around else level
            self._jobs = JobFactory(splits, evaluation, task, self.device)
            self._folds.fold(self._folds.numbers[0])
        except BaseException:
            self.close()
            raise

    def calibrate(self) -> float:
        """Measure the reference network if no limit is known yet; return and keep the limit.

        Raises:
            UserError: the reference network cannot be trained, for lack of memory, say.
            ExecutionError: the sandbox itself does not work.
        """
        with self._calibrating:
            if self.limit_s is None:
                seconds = self._reference_s() * max(1, self._sharing)  # it had the GPU alone
                limit_s = reference.START_S + reference.TIMES[self.device] * seconds
                self.limit_s = round(limit_s, 1)
            return self.limit_s

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Train the candidate in a process of its own and judge it by its logits.

        With several seeds or folds, train it in as many processes, one after another.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        results, trained_s = list[Evaluation](), 0.0
        seeds = range(seed, seed + self._evaluation.seeds)
        for number, one_seed in itertools.product(self._folds.numbers, seeds):
            result = self._train(candidate, one_seed, number, "own")
            if result.refusal:
                return result.refusal
            results.append(self._evaluation_of(result, one_seed, self._folds.fold(number)))
            trained_s += result.judge.trained_s
        if not self._evaluation.retrain and _writes_learn(candidate.mode):
            refusal = self._refuse_extra_epochs(candidate, seed, trained_s / len(results))
            if refusal is not None:
                return refusal
        return _pooled(results)

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Train the candidate's network with our own training loop, on the first fold.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        number = self._folds.numbers[0]
        result = self._train(candidate, seed, number, "plain")
        if (found := result.refusal) is not None:
            return Retraining(None, 0, seed, result.seconds, None, f"{found.stage}: {found.reason}")
        ours = self._evaluation_of(result, seed, self._folds.fold(number))
        return Retraining(ours.accuracy, ours.epochs[-1].total, seed, ours.seconds, ours.cpu_s)

    def export(self, candidate: Candidate, seed: int) -> Exported | Refusal:
        """Train the candidate once, on the first fold, and return its weights.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        settings = self._evaluation_of, self._budget, self.calibrate()
        exporter = Exporter(self._pool, self._jobs, *settings)
        return exporter.export(candidate, seed, self._folds.fold(self._folds.numbers[0]))

    def package(
        self, candidate: Candidate, seed: int, weights: bytes, onnx: bool
    ) -> Package | Refusal:
        """Measure a trained network by its files, on the first fold and the test images.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        fold, test = self._folds.fold(self._folds.numbers[0]), self._splits.test
        machine = self._gpu or processor(), self._evaluation.threads
        packager = Packager(self._pool, self._jobs, *machine, self.calibrate())
        return packager.package(candidate, seed, fold, test, weights, onnx)

    def advance(
        self,
        candidate: Candidate,
        seed: int,
        stage: TrainingStage,
        before: bytes | None = None,
    ) -> StagedTraining | Refusal:
        """Train the candidate's network for one stage with nngpt's recipe, on the first fold.

        The first stage decides on the latency: another measurement may differ, by noise alone.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        fold = self._folds.fold(self._folds.numbers[0])
        budget = replace(self._budget, latency_ms=None) if before else self._budget
        trainer = StageTrainer(self._pool, self._jobs, budget)
        limit_s = self.calibrate() * max(1.0, stage.images / fold.train_count)
        if stage.seconds is not None:
            limit_s = max(limit_s, _STAGE_TIMES * self._evaluation.threads * stage.seconds)
        return trainer.train(candidate, seed, fold, stage, before, limit_s)

    def stop(self) -> None:
        """Make every `evaluate` of the executor, running or future, raise ExecutionError."""
        self._pool.stop()

    def close(self) -> None:
        """End every process this executor started and free the data."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _train(self, candidate: Candidate, seed: int, number: int, loop: str) -> JobResult[Judge]:
        """Train and judge a candidate once, with its "own" or our "plain" loop, on one fold."""
        fold = self._folds.fold(number)
        job = self._jobs.training(candidate, seed, fold, loop=loop)
        pruner = self.pruner if loop == "own" else None
        check = partial(pruner.should_stop, candidate, seed) if pruner else None
        protocol = self._splits.classes, self._evaluation.epochs, self._budget
        return self._pool.run(job, lambda: Judge(job.labels, *protocol, check), self.calibrate())

    def _refuse_extra_epochs(
        self, candidate: Candidate, seed: int, trained_s: float
    ) -> Refusal | None:
        """Refuse a training that took much longer than our own loop on the same network."""
        ours = self._plain_s(candidate, seed, self.calibrate())
        if isinstance(ours, Refusal):
            reason = f"our own loop failed at {ours.stage}: {ours.reason}"
            return Refusal(Stage.TRAIN, reason, ours.detail)
        if trained_s <= ours + _LEAST_EXTRA_S:
            return None
        return extra_epochs(trained_s / ours, max(1, self._sharing))

    def _reference_s(self) -> float:
        """Return the own seconds that a training of the reference network would take."""
        found = self._plain_s(reference.candidate(self._evaluation), 1, reference.LIMIT_S)
        if isinstance(found, Refusal):
            what = f"the reference network cannot be trained: {found.reason}"
            hint = "Set this limit in seconds, or a larger evaluation.memory_mb"
            raise UserError(what, where="evaluation.limit_s", hint=hint)
        return found

    def _plain_s(self, candidate: Candidate, seed: int, limit_s: float) -> float | Refusal:
        """Return the own seconds of a training by our own loop, estimated by its first batches."""
        fold, epochs = self._folds.fold(self._folds.numbers[0]), self._evaluation.epochs
        job = self._jobs.training(candidate, seed, fold, loop="plain")
        protocol = job.labels, self._splits.classes, epochs, Budget()
        result = self._pool.run(job, lambda: reference.ReferenceJudge(*protocol), limit_s)
        return result.refusal or result.judge.total_s(fold, candidate.batch, epochs)

    def _evaluation_of(self, result: JobResult[AnyJudge], seed: int, fold: Fold) -> Evaluation:
        """Return the evaluation of a training whose judge is done."""
        judge, ended, last = result.judge, result.ended, result.judge.epochs[-1]
        protocol = self._evaluation.protocol()
        if judge.would_stop is not None:
            protocol["would_stop"] = judge.would_stop
        if judge.ceiling is not None:
            protocol["ceiling"] = round(judge.ceiling, 4)
        return Evaluation(
            epochs=tuple(judge.epochs),
            claimed_parameters=judge.parameters,
            seconds=result.seconds,
            device=self.device,
            seed=seed,
            sandbox=self.level,
            peak_memory_mb=round(ended.maxrss_mb, 1) if ended else None,
            cpu_s=ended.cpu_s if ended else None,
            claimed_flops=judge.flops,
            claimed_latency_ms=judge.latency_ms,
            claimed_batches=judge.batches,
            claimed_proxies=judge.proxies,
            protocol=canonical_json(protocol),
            trials=(Trial(seed, fold.number, last.accuracy, last.total),),
        )

    def _memory_bytes(self) -> int:
        """Return a worker's memory limit; the data that it maps does not count as its own."""
        data = self._folds.image_count * (math.prod(self._splits.shape) + 8)
        return self._evaluation.memory_mb * _MIB + data

    def _pick_workers(self, gpus: Sequence[Gpu]) -> int:
        """Return the set number of workers; for "auto", what cores or GPUs have room for.

        On GPUs, at most `MOST_PER_GPU` each, one per core, in half of the free memory: the LLM may
        need the other half. One per GPU without `retrain`, since what hides extra epochs is then
        found by time, which neighbours stretch.
        """
        evaluation = self._evaluation
        if evaluation.workers != "auto":
            return evaluation.workers
        cores = len(os.sched_getaffinity(0)) // evaluation.threads
        if not gpus:
            return max(1, cores)
        room = min(gpu.free_bytes for gpu in gpus) // 2 // (self._memory_bytes() + _CONTEXT_BYTES)
        most = min(MOST_PER_GPU, cores // len(gpus), room) if evaluation.retrain else 1
        return len(gpus) * max(1, most)


def _pooled(results: Sequence[Evaluation]) -> Evaluation:
    """Pool the local executor's trainings of a candidate: sum answers, seconds and batches."""
    if len(results) == 1:
        return results[0]
    epochs = zip(*(result.epochs for result in results), strict=True)
    return replace(
        results[0],
        epochs=tuple(_pooled_epoch(same) for same in epochs),
        seconds=sum(r.seconds for r in results),
        cpu_s=sum(r.cpu_s or 0 for r in results),
        peak_memory_mb=max(r.peak_memory_mb or 0 for r in results),
        claimed_batches=sum(r.claimed_batches or 0 for r in results),
        trials=tuple(trial for r in results for trial in r.trials),
    )


def _pooled_epoch(epochs: Sequence[EpochResult]) -> EpochResult:
    correct, total = sum(e.correct for e in epochs), sum(e.total for e in epochs)
    seconds = sum(e.seconds for e in epochs)
    return EpochResult(epochs[0].epoch, correct / total, correct, total, seconds)


@cache
def _writes_learn(mode: str) -> bool:
    """Return True if answers of this prompt mode hold `learn`, which else a template adds."""
    return cast("PromptMode", plugins.create("prompt mode", mode)).writes_learn


def _pick_gpus(zygote: SharedZygote, asked: str) -> list[Gpu]:
    """Return the GPUs to train on, all of the first one's kind; [] for the CPU. Raises: UserError.

    GPUs of another kind would give other results, and other times.
    """
    found = []
    if asked != "cpu" and preconditions.has_cuda_driver():
        found = zygote.running().gpus()
    if not found:
        preconditions.refuse_missing_cuda(asked)
    return [gpu for gpu in found if gpu.name == found[0].name]
