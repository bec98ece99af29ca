"""Facts about data sets that a prediction uses, and what makes two results comparable.

A *place* is where a network was judged: task, data set and metric. Accuracies of different places
are not comparable, so the predictor knows every place it has seen and says so if it has not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

IMAGE_CLASSIFICATION = "img-classification"


@dataclass(frozen=True)
class Place:
    """Where a network is judged.

    Attributes:
        task: LEMUR's name, such as `img-classification`.
        dataset: LEMUR's name, such as `cifar-10`.
        metric: LEMUR's name, such as `acc`.
    """

    task: str
    dataset: str
    metric: str

    def __str__(self) -> str:
        return f"{self.task}/{self.dataset}/{self.metric}"


@dataclass(frozen=True)
class Facts:
    """What is known of a data set; NaN is unknown.

    Attributes:
        classes: number of classes.
        images: number of training images.
        chance: accuracy of always answering the most frequent class of the test set, 0…1. A
            network that does not learn stays there exactly (SVHN 0.196, MNIST 0.1135).
        channels: of an image.
        side: of an image in pixels, NaN if they differ.
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
    """LEMUR's name of one of our data sets: `cifar10` is `cifar-10` there."""
    name = dataset.lower().replace("_", "-")
    return _LEMUR_NAMES.get(name, name)


def facts(dataset: str) -> Facts:
    """What is known of a data set by its name in LEMUR or here; of others nothing."""
    return _KNOWN.get(lemur_name(dataset), Facts())
