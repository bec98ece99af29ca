"""Places (task, data set and metric), and facts about data sets.

Accuracies are comparable within a place only. The predictor has models of the places that it
learned from, and reports it if a place is new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nngpt.records import Task

IMAGE_CLASSIFICATION = "img-classification"


@dataclass(frozen=True)
class Place:
    """Task, data set and metric by which a network is judged.

    The names are those of LEMUR, such as `img-classification`, `cifar-10` and `acc`.
    """

    task: str
    dataset: str
    metric: str

    def __str__(self) -> str:
        return f"{self.task}/{self.dataset}/{self.metric}"


@dataclass(frozen=True)
class Facts:
    """Facts about a data set; NaN for those unknown.

    Attributes:
        images: number of training images.
        chance: accuracy of always answering the most frequent class of the test set, 0…1: that of
            a network that does not learn (SVHN 0.196, MNIST 0.1135).
        side: side of an image in pixels; NaN if images differ in size.
    """

    classes: float = math.nan
    images: float = math.nan
    chance: float = math.nan
    channels: float = math.nan
    side: float = math.nan


_KNOWN = {
    "mnist": Facts(10, 60_000, 0.1135, 1, 28),
    "fashion-mnist": Facts(10, 60_000, 0.1, 1, 28),
    "cifar-10": Facts(10, 50_000, 0.1, 3, 32),
    "cifar-100": Facts(100, 50_000, 0.01, 3, 32),
    "svhn": Facts(10, 73_257, 0.19587, 3, 32),
    "imagenette": Facts(10, 9_469, 0.1, 3, math.nan),
    "celeba-gender": Facts(2, 162_770, 0.61352, 3, math.nan),
    "places365": Facts(365, 1_803_460, 1 / 365, 3, math.nan),
    "coco": Facts(math.nan, 118_287, 0.0, 3, math.nan),
    "wikitext": Facts(math.nan, math.nan, 0.0, math.nan, math.nan),
}
_LEMUR_NAMES = {"cifar10": "cifar-10", "cifar100": "cifar-100", "fashionmnist": "fashion-mnist"}


def lemur_name(dataset: str) -> str:
    """Return the name of a place's data set: `cifar10` becomes LEMUR's `cifar-10`."""
    name = dataset.lower().replace("_", "-")
    return _LEMUR_NAMES.get(name, name)


def dataset_facts(dataset: str) -> Facts:
    """Return the known facts about a place's data set; all NaN if unknown."""
    return _KNOWN.get(lemur_name(dataset), Facts())


def is_known(dataset: str) -> bool:
    """Return True if facts about a place's data set are known."""
    return lemur_name(dataset) in _KNOWN


def described(
    classes: int, shape: tuple[int, int, int] | None = None, images: float = math.nan
) -> Facts:
    """Return facts about a data set that no place of LEMUR has, with classes of equal size.

    Args:
        shape: (c, h, w) of an image.
        images: number of training images.
    """
    channels, height, width = shape or (math.nan, math.nan, math.nan)
    side = float(height) if height == width else math.nan
    return Facts(float(classes), float(images), 1 / classes, float(channels), side)


def place_of(task: Task) -> Place:
    """Return the place of a task of image classification."""
    return Place(IMAGE_CLASSIFICATION, lemur_name(task.dataset), task.metric)


def facts_of(task: Task, images: float = math.nan) -> Facts:
    """Return facts about a task's data set: the known ones, else what the task tells.

    Args:
        images: number of training images, if the data set is unknown.
    """
    if is_known(task.dataset):
        return dataset_facts(task.dataset)
    return described(task.out_shape[0], task.in_shape[1:], images)
