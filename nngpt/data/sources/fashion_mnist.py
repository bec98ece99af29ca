"""Fashion-MNIST: 70,000 pictures of clothes, 1×28×28, 10 classes, in MNIST's format."""

from __future__ import annotations

from pathlib import Path

from nngpt.data.source import DatasetSpec, FileSource, Form, Route
from nngpt.data.sources.mnist import NAMES, load
from nngpt.downloads import Package

_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_FILES = Form(
    checksums={
        NAMES[0]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        NAMES[1]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        NAMES[2]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        NAMES[3]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    load=load,
    folders=("", "raw", "FashionMNIST/raw", "usr/share/datasets/fashion-mnist"),
)

SPEC = DatasetSpec(
    name="fashion-mnist",
    class_names=_NAMES,
    shape=(1, 28, 28),
    images=70_000,
    torchvision="FashionMNIST",
    official=_FILES,
    routes=(
        Route(
            Package("apt", "dataset-fashion-mnist", ""),
            {name: f"usr/share/datasets/fashion-mnist/{name}.gz" for name in NAMES},
            _FILES,
        ),
    ),
)


def create(root: Path | None = None) -> FileSource:
    """Create Fashion-MNIST; `root` is a folder with the four official files, `.gz` or not."""
    return FileSource(SPEC, root)
