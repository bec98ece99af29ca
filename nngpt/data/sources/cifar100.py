"""CIFAR-100: 60,000 small photographs, 3×32×32, 100 (fine) classes; in no package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nngpt.data import formats
from nngpt.data.cache import Arrays
from nngpt.data.source import DatasetSpec, FileSource, Form

_NAMES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
    mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
    plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905 (a hundred quoted words would hide them)
)


def load(contents: Mapping[str, bytes]) -> Arrays:
    """Return the arrays of CIFAR-100's two official files (python version). Raises: DataError."""
    train_x, train_y = formats.cifar_batch(contents["train"], b"fine_labels")
    test_x, test_y = formats.cifar_batch(contents["test"], b"fine_labels")
    return Arrays(train_x, train_y, test_x, test_y)


SPEC = DatasetSpec(
    name="cifar100",
    class_names=_NAMES,
    shape=(3, 32, 32),
    images=60_000,
    torchvision="CIFAR100",
    official=Form(
        checksums={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
        load=load,
        folders=("", "cifar-100-python"),
        archive="cifar-100-python.tar.gz",
    ),
)


def create(root: Path | None = None) -> FileSource:
    """Create CIFAR-100; `root` is a folder with `cifar-100-python.tar.gz` or its contents."""
    return FileSource(SPEC, root)
