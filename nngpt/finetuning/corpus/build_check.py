"""Check that a corpus's networks build and train, for one step on noise images in the sandbox.

The images have the task's shape, so no data set is needed.
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
from nngpt.finetuning.corpus.answers import AnsweredNetwork
from nngpt.protocols import Executor
from nngpt.records import Candidate, Refusal, Task

_IMAGES = {"train": 64, "validation": 16, "test": 2}
_LIMIT_S = 60.0


class BuildCheck:
    """Trains a network for one step on each task's noise images; see `open_build_check`."""

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._executors = executors

    def refuse_network(self, network: AnsweredNetwork) -> Refusal | None:
        """Return why the network fails on one of its tasks, None if it trains on all.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        for answer in network.answers:
            for dataset in answer.prompt.datasets:
                refusal = self.refuse(answer.candidate, dataset)
                if refusal is not None:
                    return Refusal(refusal.stage, f"{dataset}: {refusal.reason}", refusal.detail)
        return None

    def refuse(self, candidate: Candidate, dataset: str) -> Refusal | None:
        """Return why a candidate fails on a data set's shape, None if it trains.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        outcome = self._executors[dataset].evaluate(candidate, seed=1)
        return outcome if isinstance(outcome, Refusal) else None


@contextmanager
def open_build_check(evaluation: EvaluationConfig, tasks: Sequence[Task]) -> Iterator[BuildCheck]:
    """Open a corpus's build check for these tasks; its processes end with the context.

    Raises:
        UserError: a containment layer is missing.
        ExecutionError: the sandbox does not start.
    """
    with ExitStack() as stack:
        opened = {t.dataset: stack.enter_context(open_on_noise(evaluation, t)) for t in tasks}
        yield BuildCheck(opened)


@contextmanager
def open_on_noise(evaluation: EvaluationConfig, task: Task) -> Iterator[Executor]:
    """Open an executor for a build check on a few noise images in the shape of one task.

    Raises: UserError if a containment layer is missing, ExecutionError if it does not start.
    """
    settings = _brief_evaluation(evaluation)
    with tempfile.TemporaryDirectory(prefix="nngpt-build-") as folder:
        noise = _noise_splits(Path(folder) / task.dataset, task)
        executor: Executor = plugins.create(
            "executor", settings.executor, noise, settings, task, options=settings.options
        )
        with closing(executor):
            yield executor


def _brief_evaluation(evaluation: EvaluationConfig) -> EvaluationConfig:
    """Return the settings of a build check: one epoch on one CPU thread, 60 CPU s at most."""
    # A step on 64 images is too short for more threads: they would wait for each other.
    brief = {"epochs": 1, "limit_s": _LIMIT_S, "device": "cpu", "threads": 1}
    return evaluation.model_copy(update=brief)


def _noise_splits(folder: Path, task: Task) -> Splits:
    """Write the noise images on which the build check trains networks to a new folder."""
    folder.mkdir()
    random = np.random.Generator(np.random.PCG64(1))
    _, *shape = task.in_shape
    channels, height, width = shape
    parts: dict[str, Part] = {}
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
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
    )
