"""SVHN, cropped: 99,289 digits of house numbers, 3×32×32, 10 classes; in no package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nngpt.data import formats
from nngpt.data.cache import Arrays
from nngpt.data.source import DIGITS, DatasetSpec, FileSource, Form

_TRAIN, _TEST = "train_32x32.mat", "test_32x32.mat"


def load(contents: Mapping[str, bytes]) -> Arrays:
    """Return the arrays of SVHN's two official files. Raises: DataError."""
    train_x, train_y = formats.svhn(contents[_TRAIN])
    test_x, test_y = formats.svhn(contents[_TEST])
    return Arrays(train_x, train_y, test_x, test_y)


SPEC = DatasetSpec(
    name="svhn",
    class_names=DIGITS,
    shape=(3, 32, 32),
    images=99_289,
    torchvision="SVHN",
    official=Form(
        checksums={
            _TRAIN: "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            _TEST: "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        },
        load=load,
    ),
)


def create(root: Path | None = None) -> FileSource:
    """Create SVHN; `root` is a folder with `train_32x32.mat` and `test_32x32.mat`."""
    return FileSource(SPEC, root)
