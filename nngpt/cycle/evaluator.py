"""Open the executor that trains networks, with its images and with early stopping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.config import Config
from nngpt.data.loading import data_source, load_splits
from nngpt.errors import ConfigError
from nngpt.generation.contract import Reader, make_reader
from nngpt.protocols import Executor, Log
from nngpt.records import Task

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


@contextmanager
def open_evaluator(config: Config, log: Log) -> Iterator[tuple[Reader, Executor]]:
    """Open a reader and an executor for networks that exist already. Raises: UserError."""
    plugins.load("executor", config.evaluation.executor)  # a wrong name fails before the rest
    source = data_source(config)
    reader = make_reader(config, source)
    splits = load_splits(config, source, log)
    with open_executor(config, splits, reader.task, log) as executor:
        yield reader, executor


@contextmanager
def open_executor(config: Config, splits: Splits, task: Task, log: Log) -> Iterator[Executor]:
    """Open the configured executor, with the pruner of `evaluation.early_stop`.

    Raises:
        ConfigError: the executor cannot stop trainings early.
        UserError: the executor cannot run here, or the predictor is missing.
    """
    settings, pruner = config.evaluation, None
    if settings.early_stop:
        from nngpt.prediction.early_stopping import load_pruner

        pruner = load_pruner(config, task, log)
    executor: Executor = plugins.create(
        "executor", settings.executor, splits, settings, task, pruner, options=settings.options
    )
    with closing(executor):
        if executor.pruner is not pruner:
            raise ConfigError(
                f"the executor {settings.executor!r} trains to the end",
                where="evaluation.early_stop",
                hint="Use the executor local, bubblewrap or container",
            )
        yield executor
