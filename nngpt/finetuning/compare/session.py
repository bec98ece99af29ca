"""One start of a comparison: its executors, and the answers that a folder still lacks."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from nngpt import __version__, plugins
from nngpt.config import Config
from nngpt.data.loading import data_source, load_splits
from nngpt.data.splits import Splits
from nngpt.finetuning.compare.arms import ComparedArm, shared_settings
from nngpt.finetuning.compare.generation import OnProgress, unwritten, write_answers
from nngpt.finetuning.compare.judge import judge
from nngpt.finetuning.compare.records import CHECK, Samples, Session
from nngpt.finetuning.corpus.build_check import brief_evaluation, noise_splits
from nngpt.protocols import DatasetSource, Executor, Log
from nngpt.records import Task, derive_seed

_PACKAGES = ("torch", "transformers", "peft", "scipy")

OpenOnImages = Callable[[Config, Splits, Task, Log], AbstractContextManager[Executor]]
"""Opens the configured executor on a data set; `nngpt.cycle.parts.open_executor`."""


@dataclass(frozen=True)
class Executors:
    """Opens the executors of a comparison's session, by name of the data set."""

    settings: Config
    tasks: Mapping[str, Task]
    sources: Mapping[str, DatasetSource]
    log: Log
    open_on_images: OpenOnImages

    @contextmanager
    def noise(self, name: str) -> Iterator[Executor]:
        """Open an executor on a few noise images in the shape of a task."""
        with tempfile.TemporaryDirectory(prefix="nngpt-compare-") as folder:
            splits = noise_splits(Path(folder) / name, self.tasks[name])
            short = brief_evaluation(self.settings.evaluation)
            task, options = self.tasks[name], short.options
            made = plugins.create("executor", short.executor, splits, short, task, options=options)
            with closing(made) as executor:
                yield executor

    @contextmanager
    def images(self, name: str) -> Iterator[Executor]:
        """Open an executor on the images of a task; download them first if necessary."""
        plugins.load("executor", self.settings.evaluation.executor)  # reports a wrong name first
        splits = load_splits(self.settings, self.sources[name], self.log)
        with self.open_on_images(self.settings, splits, self.tasks[name], self.log) as executor:
            level = executor.level.partition(":")[0]
            self.log(f"Training: {splits.train.count:,} images of {name}, sandbox level {level}")
            yield executor


def source_of(settings: Config, name: str) -> DatasetSource:
    """Return a data set of the comparison session by name. Raises: PluginError, DataError."""
    task = settings.task.model_copy(update={"dataset": name})
    return data_source(settings.model_copy(update={"task": task}))


def run_session(
    executors: Executors,
    arms: Sequence[ComparedArm],
    folder: Path,
    wanted: int,
    how: str,
    command: str,
    on_progress: OnProgress,
) -> None:
    """Run a session of a comparison: write and judge the answers that a folder still lacks.

    `wanted` counts answers of each arm to each prompt; `how` is `CHECK`, `TRAIN`, or "" to run
    nothing. Raises: UserError if the folder is in use or holds other settings, ModelError,
    ExecutionError if the sandbox does not start.
    """
    settings = executors.settings
    seeds = partial(derive_seed, settings.seed)
    with Samples(folder) as record:
        record.agree(shared_settings(settings), [arm.facts for arm in arms])
        prompts = {arm.name: {a.key: a.tasks for a in arm.prompts} for arm in arms}
        started = datetime.now(UTC).isoformat(timespec="seconds")
        tasks = tuple(executors.tasks)
        record.append([Session(started, command, wanted, how, tasks, prompts, machine())])
        if unwritten(record, arms, wanted):
            wants = settings.llm
            made = plugins.create("LLM backend", wants.backend, wants, options=wants.options)
            with closing(made) as llm:
                mode = arms[0].facts.mode
                executors.log(f"Writing: {llm.facts}, {mode} mode, {llm.batch_size} at a time")
                write_answers(record, arms, llm, wanted, seeds, on_progress)
        if how:
            opened = executors.noise if how == CHECK else executors.images
            judge(record, arms, how, tasks, opened, wanted, seeds, on_progress)


def machine() -> Mapping[str, Any]:
    """Return the machine of a session: processor, usable cores, GPU (or None), versions."""
    import torch

    versions = {"nngpt": __version__, "python": platform.python_version()}
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2] for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine()).strip()
