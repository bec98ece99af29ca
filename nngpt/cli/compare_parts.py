"""What `nngpt learn compare` works with: data sets, and executors on noise or on images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nngpt.cli.options import console

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.finetuning.compare.generation import Progress
    from nngpt.protocols import DatasetSource, Executor
    from nngpt.records import Task


@dataclass(frozen=True)
class Executors:
    """Opens executors for the tasks of a comparison.

    Attributes:
        say: told what is being trained on.
    """

    settings: Config
    tasks: Mapping[str, Task]
    sources: Mapping[str, DatasetSource]
    log: Callable[[str], None]

    @contextmanager
    def noise(self, name: str) -> Iterator[Executor]:
        """One with a few images of noise in the shape of a task."""
        from nngpt import plugins
        from nngpt.finetuning.corpus.build_check import brief_evaluation, noise_splits

        with tempfile.TemporaryDirectory(prefix="nngpt-compare-") as folder:
            splits = noise_splits(Path(folder) / name, self.tasks[name])
            short = brief_evaluation(self.settings.evaluation)
            arguments = (splits, short, self.tasks[name])
            made = plugins.create("executor", short.executor, *arguments, options=short.options)
            with closing(made) as executor:
                yield executor

    @contextmanager
    def images(self, name: str) -> Iterator[Executor]:
        """One with the images of a task, fetched first if need be."""
        from nngpt import plugins
        from nngpt.cycle.evaluator import open_executor
        from nngpt.data.loading import load_splits

        plugins.load("executor", self.settings.evaluation.executor)  # tells a wrong name first
        splits = load_splits(self.settings, self.sources[name], self.log)
        with open_executor(self.settings, splits, self.tasks[name], self.log) as executor:
            level = executor.level.partition(":")[0]
            self.log(f"Training: {splits.train.count:,} images of {name}, sandbox level {level}")
            yield executor


def source_of(settings: Config, name: str) -> DatasetSource:
    """A data set by name. Raises: PluginError, DataError."""
    from nngpt.data.loading import data_source

    task = settings.task.model_copy(update={"dataset": name})
    return data_source(settings.model_copy(update={"task": task}))


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar for what goes on, on a terminal; elsewhere a line for every tenth of it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}", markup=False),
    )
    out = console(stderr=True)
    shown: dict[str, Any] = {}
    tenths: dict[str, int] = {}
    with Progress(*columns, console=out, disable=not out.is_terminal) as bars:

        def tell(what: str, done: int, total: int, remark: str) -> None:
            if out.is_terminal:
                if what not in shown:
                    shown[what] = bars.add_task(what, total=total, remark="")
                bars.update(shown[what], completed=done, total=total, remark=remark)
            elif done == total or 10 * done // total > tenths.get(what, -1):
                tenths[what] = 10 * done // total
                line = f"{what}: {done}/{total}{', ' if remark else ''}{remark}"
                out.print(line, markup=False, soft_wrap=True)

        yield tell
