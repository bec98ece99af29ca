"""List the available data sets and whether they are in the cache."""

from __future__ import annotations

from dataclasses import dataclass

from nngpt import plugins
from nngpt.errors import DataError


@dataclass(frozen=True)
class DatasetSummary:
    """An available data set; sizes are None if the user's folder determines them.

    Attributes:
        name: name for `task.dataset`.
        shape: (c, h, w).
        classes: number of classes.
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


def _summary(name: str) -> DatasetSummary:
    try:
        source = plugins.create("data set", name, None)
    except DataError:
        return DatasetSummary(name, None, None, None, False)
    images = getattr(source, "images", None)
    return DatasetSummary(name, source.shape, source.classes, images, source.available())
