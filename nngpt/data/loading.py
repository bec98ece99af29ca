"""Load the data set that a configuration names, and list all data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.config import Config
from nngpt.errors import DataError
from nngpt.protocols import DatasetSource, Log
from nngpt.records import Task

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


@dataclass(frozen=True)
class DatasetSummary:
    """An available data set; shape and sizes are None if the user's folder determines them.

    Attributes:
        name: name for `task.dataset`.
        shape: (c, h, w).
        images: number of training and test images.
        cached: True if the prepared arrays are in the cache.
    """

    name: str
    shape: tuple[int, int, int] | None
    classes: int | None
    images: int | None
    cached: bool


def list_data_sets() -> list[DatasetSummary]:
    """Return a summary of every data set, sorted by name."""
    return [_summary(name) for name in plugins.names("data set")]


def data_source(config: Config) -> DatasetSource:
    """Return the data set that `task.dataset` names. Raises: PluginError, DataError."""
    task = config.task
    source: DatasetSource = plugins.create(
        "data set", task.dataset, task.root, options=task.options
    )
    return source


def make_task(config: Config, source: DatasetSource) -> Task:
    """Return the task of a configuration, with its data set's shape and classes."""
    return Task(
        dataset=source.name,
        in_shape=(1, *source.shape),
        out_shape=(source.classes,),
        threshold=config.task.threshold,
        max_parameters=config.task.max_parameters,
        max_latency_ms=config.task.max_latency_ms,
    )


def class_names(source: DatasetSource) -> tuple[str, ...]:
    """Return the names of a data set's classes; their numbers if it has no names."""
    return getattr(source, "class_names", ()) or tuple(map(str, range(source.classes)))


def load_splits(config: Config, source: DatasetSource, log: Log) -> Splits:
    """Return a task's images; download missing ones first. Raises: DataError."""
    if not source.available():
        log(f"Fetching {source.name} …")
        source.prepare()
    task = config.task
    return source.splits(config.seed, task.train_limit, task.validation_limit)


def _summary(name: str) -> DatasetSummary:
    try:
        source = plugins.create("data set", name, None)
    except DataError:
        return DatasetSummary(name, None, None, None, False)
    images = getattr(source, "images", None)
    return DatasetSummary(name, source.shape, source.classes, images, source.available())
