"""Load the data set that a configuration names, and list all data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.config import Config
from nngpt.errors import ConfigError, DataError
from nngpt.protocols import DatasetSource, Log, ReadsImageFiles
from nngpt.records import Task

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


@dataclass(frozen=True)
class DatasetSummary:
    """An available data set; shape and sizes are None if the user's folder determines them.

    Attributes:
        name: name for `task.dataset`; of a folder of images in the cache, its path.
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
    """Return a summary of every data set, sorted by name, and of the image folders in the cache."""
    return [*map(_summary, plugins.names("data set")), *_cached_folders()]


def data_source(config: Config) -> DatasetSource:
    """Return the data set that `task.dataset` names.

    Raises: PluginError, DataError; ConfigError if it cannot have the wanted size or channels.
    """
    task = config.task
    source: DatasetSource = plugins.create(
        "data set", task.dataset, task.root, options=task.options
    )
    if isinstance(source, ReadsImageFiles):
        from nngpt.data.image_survey import ImageSettings

        size = task.image_size
        height_width = (size, size) if isinstance(size, int) else size
        return source.with_settings(
            ImageSettings(height_width, task.channels, task.resize, task.skip_broken)
        )
    for key in ("image_size", "channels"):
        if getattr(task, key) is not None:
            shape = "×".join(map(str, source.shape))
            what = f"images of {source.name} are {shape}: only those of a folder can have others"
            raise ConfigError(what, where=f"task.{key}", hint="See evaluation.transform")
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
        least_proxy=config.task.least_proxy,
    )


def class_names(source: DatasetSource) -> tuple[str, ...]:
    """Return the names of a data set's classes; their numbers if it has no names."""
    return getattr(source, "class_names", ()) or tuple(map(str, range(source.classes)))


def prepare(source: DatasetSource, log: Log) -> None:
    """Bring a data set's images into the cache, and report each slow step. Raises: DataError."""
    if hasattr(source, "progress"):
        source.progress = log
    source.prepare()


def load_splits(config: Config, source: DatasetSource, log: Log) -> Splits:
    """Return a task's images; bring missing ones into the cache first. Raises: DataError."""
    if not source.available():
        log(f"Fetching {source.name} …")
        prepare(source, log)
    task = config.task
    return source.splits(config.seed, task.train_limit, task.validation_limit)


def _summary(name: str) -> DatasetSummary:
    try:
        source = plugins.create("data set", name, None)
    except DataError:
        return DatasetSummary(name, None, None, None, False)
    images = getattr(source, "images", None)
    return DatasetSummary(name, source.shape, source.classes, images, source.available())


def _cached_folders() -> list[DatasetSummary]:
    """Return the image folders in the cache, sorted by path; the last one read of each shape."""
    from nngpt.data import cache

    found: dict[tuple[object, ...], DatasetSummary] = {}
    metas = cache.folder("").glob(f"{plugins.IMAGE_FOLDER}-*/meta.json")
    for path in sorted(metas, key=lambda path: path.stat().st_mtime):
        meta = cache.read_meta(path.parent.name)
        if meta is not None and meta.image_format is not None:
            found[meta.source, meta.shape] = DatasetSummary(
                meta.source, meta.shape, meta.classes, meta.images, cached=True
            )
    return [found[key] for key in sorted(found, key=str)]
