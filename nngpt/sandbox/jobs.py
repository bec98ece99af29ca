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
from nngpt.sandbox.judge import Judge, Labels, secret_order
from nngpt.sandbox.lane_client import WorkerExit

AnyJudge = TypeVar("AnyJudge", bound=Judge)


@dataclass(frozen=True)
class Job:
    """Work for one worker: its description and its data.

    Attributes:
        description: instructions for the worker, JSON-serialisable (see `JobFactory`).
        order: secret order of the validation images (`nngpt.sandbox.judge.secret_order`).
        file: weights or ONNX file to try, in place of training data; None for a training.
        state: safetensors file with which a stage of a training begins, None for its first stage.
    """

    description: dict[str, Any]
    fold: Fold
    order: npt.NDArray[np.int64]
    file: bytes | None = None
    state: bytes | None = None

    @property
    def labels(self) -> Labels:
        """Labels of the validation images, in the order in which the worker sees the images."""
        return self.fold.validation_labels[self.order]

    @contextmanager
    def files(self) -> Iterator[tuple[int, list[int]]]:
        """Open the reading end of a result pipe, and the descriptors for `nngpt.sandbox.lane`.

        The latter are memory for standard error, the pipe's writing end, and the data: job
        description, training images and labels, validation images, a stage's state. The caller
        closes the writing end once the worker has a copy; all others are closed afterwards.
        """
        with ExitStack() as stack:
            result, writing = os.pipe()
            stack.callback(os.close, result)
            fds = [os.memfd_create("stderr"), writing]
            stack.callback(os.close, fds[0])
            for fd in self._data():
                stack.callback(os.close, fd)
                fds.append(fd)
            yield result, fds

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
        yield sealed_memory.sealed("state", [self.state] if self.state else [])


@dataclass(frozen=True)
class JobResult(Generic[AnyJudge]):
    """Result of a job, whose judge has read the worker's output.

    Attributes:
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
        """True if the job's judge is done or has refused the candidate."""
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
        """Return the job of a training with the "own" or our "plain" loop; `more` sets entries."""
        splits, evaluation = self._splits, self._evaluation
        description = {
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
            "proxies": evaluation.proxies and loop == "own",
            "latency": evaluation.latency or self._task.max_latency_ms is not None,
            "device": self._device,
            "classes": splits.classes,
            "shape": list(splits.shape),
            "mean": list(splits.mean),
            "std": list(splits.std),
            "train_count": fold.train_count,
            "validation_count": len(fold.validation_labels),
            "loop": loop,
        }
        order = secret_order(fold.validation_labels, candidate.content_hash, seed)
        return Job(description | more, fold, order)
