"""Load the data set that a configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.config import Config
from nngpt.protocols import DatasetSource, Log

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


def data_source(config: Config) -> DatasetSource:
    """Return the data set of `task.dataset`. Raises: PluginError, DataError."""
    task = config.task
    source: DatasetSource = plugins.create(
        "data set", task.dataset, task.root, options=task.options
    )
    return source


def load_splits(config: Config, source: DatasetSource, log: Log) -> Splits:
    """Return the task's images; download them first if they are not cached. Raises: DataError."""
    if not source.available():
        log(f"Fetching {source.name} …")
        source.prepare()
    task = config.task
    return source.splits(config.seed, task.train_limit, task.validation_limit)
