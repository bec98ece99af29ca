"""What is known about the data set of a prediction: a name, a folder of images, or a shape."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from nngpt import plugins
from nngpt.errors import UserError, nearest
from nngpt.prediction.places import Facts, described, is_known, lemur_name


class DataDescription(NamedTuple):
    """What is known about the data set of a prediction.

    Attributes:
        root: folder of images; None for a name.
        facts: facts about it; None to look them up by its name.
        unknown: why there are no facts at all, "" if there are some.
    """

    name: str
    root: Path | None = None
    facts: Facts | None = None
    unknown: str = ""


def describe_data(
    dataset: str | None,
    root: Path | None = None,
    classes: int | None = None,
    shape: tuple[int, int, int] | None = None,
) -> DataDescription:
    """Return what is known about a data set.

    Args:
        dataset: name, or a folder of images.
        shape: (c, h, w) of an image.

    Raises:
        UserError: the data set is not named.
        DataError: the folder is not a folder of images.
    """
    if root is None and dataset is not None and Path(dataset).is_dir():
        root = Path(dataset)
    if root is not None:
        source = plugins.create("data set", "image-folder", root)
        images = getattr(source, "images", math.nan)
        facts = described(source.classes, source.shape, images)
        return DataDescription(source.name, root, facts)
    if dataset is None:
        raise UserError("give --dataset or --root")
    if is_known(dataset):
        return DataDescription(dataset)
    if classes is not None:
        return DataDescription(dataset, None, described(classes, shape))
    hint = nearest(lemur_name(dataset), plugins.names("data set"))
    hint = f"{hint} " if hint.startswith("Did") else ""
    what = f"unknown data set {dataset!r}. {hint}Describe it: --root, or --classes and --shape"
    return DataDescription(dataset, unknown=what)
