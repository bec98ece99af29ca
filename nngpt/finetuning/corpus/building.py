"""Builds networks for real: one training step and a few answers in the project's own sandbox.

The images are noise of the task's shape, so no data set is needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np

from nngpt import plugins
from nngpt.config import EvaluationConfig
from nngpt.data.splits import Part, Splits
from nngpt.finetuning.corpus.answers import Answered
from nngpt.protocols import Executor
from nngpt.records import Candidate, Refusal, Task

_IMAGES = {"train": 64, "validation": 16, "test": 2}
_WALL_S = 60.0


class BuildCheck:
    """Trains a network for one step for each task; get one from `build_check`."""

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._executors = executors

    def refusal(self, answered: Answered) -> Refusal | None:
        """Why the network does not run for one of the tasks, None if it does for all.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        for answer in answered.answers:
            for dataset in answer.asked.names:
                refusal = self.fault(answer.candidate, dataset)
                if refusal is not None:
                    return Refusal(refusal.stage, f"{dataset}: {refusal.reason}", refusal.detail)
        return None

    def fault(self, candidate: Candidate, dataset: str) -> Refusal | None:
        """The same for one network and task. Raises: ExecutionError."""
        outcome = self._executors[dataset].evaluate(candidate, seed=1)
        return outcome if isinstance(outcome, Refusal) else None


@contextmanager
def build_check(evaluation: EvaluationConfig, tasks: Sequence[Task]) -> Iterator[BuildCheck]:
    """A check for these tasks; its processes end with the context.

    Raises:
        UserError: a containment layer is missing.
        ExecutionError: the sandbox does not start.
    """
    settings = brief(evaluation)
    module = plugins.load("executor", evaluation.executor)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nngpt-build-")))
        executors = {}
        for task in tasks:
            noise = noise_splits(folder / task.dataset, task)
            executor: Executor = stack.enter_context(closing(module.create(noise, settings, task)))
            executors[task.dataset] = executor
        yield BuildCheck(executors)


def brief(evaluation: EvaluationConfig) -> EvaluationConfig:
    """The settings of a check: one epoch on the CPU, and a minute at most."""
    # One thread: a step on 64 images is too short for more, and they wait for each other.
    return evaluation.model_copy(
        update={
            "epochs": 1,
            "wall_s": min(evaluation.wall_s, _WALL_S),
            "device": "cpu",
            "threads": 1,
        }
    )


def noise_splits(folder: Path, task: Task) -> Splits:
    """A few images of noise in the task's shape, in a new folder."""
    folder.mkdir()
    random = np.random.Generator(np.random.PCG64(1))
    _, *shape = task.in_shape
    channels, height, width = shape
    parts = {}
    for name, count in _IMAGES.items():
        part = Part(folder / f"{name}_x.npy", folder / f"{name}_y.npy")
        np.save(part.images, random.integers(0, 256, (count, *shape), np.uint8))
        np.save(part.labels, random.integers(0, task.out_shape[0], count, np.int64))
        parts[name] = part
    return Splits(
        name=task.dataset,
        classes=task.out_shape[0],
        shape=(channels, height, width),
        mean=(0.5,) * channels,
        std=(0.29,) * channels,
        **parts,
    )
