"""Jobs of the worker: their description as JSON, the data they get, and their results."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.records import Candidate, Refusal, Task
from nngpt.sandbox import sealed_memory
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.judge import Judge, secret_order
from nngpt.sandbox.lane_client import WorkerExit

AnyJudge = TypeVar("AnyJudge", bound=Judge)


@dataclass(frozen=True)
class JobFiles:
    """Open descriptors of one job.

    Attributes:
        result: reading end of the result pipe.
        writing: its writing end; the runner closes it once the worker has a copy.
        stderr: memory that collects the worker's standard error.
        data: job description, training images and labels, validation images.
    """

    result: int
    writing: int
    stderr: int
    data: tuple[int, ...]

    @property
    def for_worker(self) -> list[int]:
        """Descriptors to send, in the order in which `nngpt.sandbox.lane` expects them."""
        return [self.stderr, self.writing, *self.data]


@dataclass(frozen=True)
class Job:
    """Work for one worker: its description and its data.

    Attributes:
        description: instructions for the worker, JSON-serialisable (see `JobFactory`).
        fold: data to train on and to answer.
        order: secret order of the validation images (`nngpt.sandbox.judge.secret_order`).
        file: weights or ONNX file to try, in place of training data; None for a training.
    """

    description: dict[str, Any]
    fold: Fold
    order: npt.NDArray[np.int64]
    file: bytes | None = None

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels of the validation images, in the order in which the worker sees the images."""
        return self.fold.validation_labels[self.order]

    @contextmanager
    def files(self) -> Iterator[JobFiles]:
        """Open the descriptors; all but the pipe's writing end are closed afterwards."""
        with ExitStack() as stack:
            result, writing = os.pipe()
            stack.callback(os.close, result)
            stderr = os.memfd_create("stderr")
            stack.callback(os.close, stderr)
            data = []
            for fd in self._data():
                stack.callback(os.close, fd)
                data.append(fd)
            yield JobFiles(result, writing, stderr, tuple(data))

    def _data(self) -> Iterator[int]:
        yield sealed_memory.sealed("job", [json.dumps(self.description).encode()])
        if self.file is None:
            yield sealed_memory.reopened(self.fold.train_images)
            yield sealed_memory.reopened(self.fold.train_labels)
        else:
            yield sealed_memory.sealed("file", [self.file])
            yield sealed_memory.sealed("nothing", [])
        images = sealed_memory.chunks(self.fold.validation_images, self.order)
        yield sealed_memory.sealed("validation-images", images)


@dataclass(frozen=True)
class JobResult(Generic[AnyJudge]):
    """Result of a job: what the judge read, why it failed, and how the worker ended.

    Attributes:
        judge: the judge that read the worker's output.
        refusal: why the job failed; None if it succeeded or the worker ended without a result.
        seconds: wall time.
        ended: how the worker ended, None if its lane was lost.
        stderr: end of the worker's standard error, "" if the job was decided without it.
    """

    judge: AnyJudge
    refusal: Refusal | None
    seconds: float
    ended: WorkerExit | None
    stderr: str = ""

    @property
    def decided(self) -> bool:
        """True if the judge is done or has refused the candidate."""
        return self.refusal is not None or self.judge.done


class JobFactory:
    """Describes the jobs of one task and training protocol for `device`, "cpu" or "cuda"."""

    def __init__(
        self, splits: Splits, evaluation: EvaluationConfig, task: Task, device: str
    ) -> None:
        self._splits, self._evaluation, self._task = splits, evaluation, task
        self._device = device

    def training(
        self, candidate: Candidate, seed: int, fold: Fold, loop: str = "own", **more: object
    ) -> Job:
        """Describe a training with the candidate's "own" loop or with our "plain" one.

        Args:
            more: entries of the description to add or replace.
        """
        order = secret_order(fold.validation_labels, candidate.content_hash, seed)
        return Job(self._description(candidate, seed, fold) | {"loop": loop, **more}, fold, order)

    def _description(self, candidate: Candidate, seed: int, fold: Fold) -> dict[str, Any]:
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
            "precision": evaluation.precision,
            "memory_format": evaluation.memory_format,
            "stop_on_divergence": evaluation.stop_on_divergence,
            "latency": evaluation.latency or self._task.max_latency_ms is not None,
            "device": self._device,
            "classes": splits.classes,
            "shape": list(splits.shape),
            "mean": list(splits.mean),
            "std": list(splits.std),
            "train_count": fold.train_count,
            "validation_count": len(fold.validation_labels),
        }
