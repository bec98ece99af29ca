"""The executors of a comparison: on noise, or on the images of a data set."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nngpt import plugins
from nngpt.config import Config
from nngpt.data.loading import data_source, load_splits
from nngpt.data.splits import Splits
from nngpt.finetuning.corpus.build_check import brief_evaluation, noise_splits
from nngpt.protocols import DatasetSource, Executor, Log
from nngpt.records import Task

OpenOnImages = Callable[[Config, Splits, Task, Log], AbstractContextManager[Executor]]
"""Opens the configured executor on a data set; `nngpt.cycle.evaluator.open_executor`."""


@dataclass(frozen=True)
class Executors:
    """Opens executors for the tasks of a comparison, by name of the data set."""

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
    """Return a data set by name. Raises: PluginError, DataError."""
    task = settings.task.model_copy(update={"dataset": name})
    return data_source(settings.model_copy(update={"task": task}))
