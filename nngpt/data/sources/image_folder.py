"""Any folder of pictures with one subfolder per class: ROOT/<class>/*.png, .jpg, .bmp ….

ROOT/train/<class> and ROOT/test/<class> (or `val`), if present, are the official parts;
otherwise every tenth picture of a fixed shuffle becomes the test part. The first picture
determines the shape: grey or colour, and its size, or 32×32 if a side is longer than 64 pixels.
All others are resized to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nngpt import downloads
from nngpt.data import cache
from nngpt.data.splits import Splits
from nngpt.data.splits import create as create_splits
from nngpt.errors import DataError
from nngpt.records import canonical_json

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm"})
_LONGEST_SIDE, _REDUCED_SIDE = 64, 32
_TEST_PARTS = ("test", "val")
_Sample = tuple[Path, int]


def create(root: Path | None = None) -> ImageFolder:
    """Open a folder of pictures as a data set. Raises: DataError: no folder, or no pictures."""
    if root is None:
        where, hint = "data set image-folder", "Set task.root, or give --root FOLDER"
        raise DataError("needs the folder with the pictures", where=where, hint=hint)
    return ImageFolder(root)


class ImageFolder:
    """A folder of pictures; implements `nngpt.protocols.DatasetSource`."""

    name = "image-folder"

    def __init__(self, root: Path, progress: downloads.Progress = downloads.silent) -> None:
        self.root = root.expanduser().resolve()
        self.progress = progress
        train_root, test_root = _parts(self.root)
        self._labels = sorted(path.name for path in train_root.iterdir() if path.is_dir())
        self.classes, self.class_names = len(self._labels), tuple(self._labels)
        self._train = _samples(train_root, self._labels)
        self._test = _samples(test_root, self._labels) if test_root else []
        if self.classes < 2 or len(self._train) < 2:
            hint = "It must contain a folder of pictures for each class: ROOT/<class>/*.png"
            raise DataError("has fewer than two classes", where=str(root), hint=hint)
        self.images = len(self._train) + len(self._test)
        self.shape = _shape(self._train[0][0])

    def available(self) -> bool:
        """Return True if the pictures are in the cache and unchanged."""
        return cache.read_meta(self._key()) is not None

    def prepare(self) -> None:
        """Read all pictures into the cache. Raises: DataError: one cannot be read."""
        cache.prepare(self._key(), self._make)

    def splits(self, seed: int, train_limit: int | None, validation_limit: int | None) -> Splits:
        """Return the folder's train, validation and test parts, memory-mapped.

        Raises: DataError if the pictures are not in the cache, or have changed.
        """
        if not self.available():
            hint = f"Prepare it: nngpt data pull {self.name} --root {self.root}"
            raise DataError("is not in the cache, or has changed", where=str(self.root), hint=hint)
        splits = create_splits(self._key(), seed, train_limit, validation_limit)
        return replace(splits, class_names=self.class_names)

    def _make(self) -> tuple[cache.Arrays, cache.Meta]:
        train, test = self._official_parts()
        self.progress(f"{self.name}: {len(train) + len(test)} pictures of {self.root}")
        arrays = cache.Arrays(*self._read(train), *self._read(test))
        digests = cache.digests(arrays)
        return arrays, cache.Meta(self.name, self.classes, self.shape, str(self.root), digests)

    def _official_parts(self) -> tuple[list[_Sample], list[_Sample]]:
        if self._test:
            return self._train, self._test
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(self._train))
        held_out = max(1, len(order) // 10)
        train, test = order[held_out:], order[:held_out]
        return [self._train[i] for i in train], [self._train[i] for i in test]

    def _read(self, samples: Sequence[_Sample]) -> tuple[cache.Images, cache.Labels]:
        images = np.empty((len(samples), *self.shape), np.uint8)
        for index, (path, _) in enumerate(samples):
            images[index] = _picture(path, self.shape)
        return images, np.array([label for _, label in samples], np.int64)

    def _key(self) -> str:
        """Return the cache key, which changes with the folder's path and with any picture."""
        samples = [*self._train, *self._test]
        files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path, _ in samples]
        digest = hashlib.sha256(canonical_json(files).encode("utf-8", "surrogateescape"))
        return f"{self.name}-{digest.hexdigest()[:16]}"


def _parts(root: Path) -> tuple[Path, Path | None]:
    if not root.is_dir():
        raise DataError("no such folder", where=str(root), hint="Check task.root")
    tests = [root / name for name in _TEST_PARTS if (root / name).is_dir()]
    if (root / "train").is_dir() and tests:
        return root / "train", tests[0]
    return root, None


def _samples(root: Path, labels: Sequence[str]) -> list[_Sample]:
    """Return (picture, class number) in sorted order."""
    found = []
    for number, label in enumerate(labels):
        pictures = (root / label).rglob("*")
        found += [(path, number) for path in sorted(pictures) if path.suffix.lower() in _SUFFIXES]
    return found


def _shape(path: Path) -> tuple[int, int, int]:
    with _opened(path) as picture:
        width, height = picture.size
        channels = 1 if picture.mode in {"1", "L", "I", "I;16", "F"} else 3
    if max(width, height) > _LONGEST_SIDE:
        width = height = _REDUCED_SIDE
    return channels, height, width


def _picture(path: Path, shape: tuple[int, int, int]) -> cache.Images:
    """Return one picture as uint8 [c, h, w]."""
    channels, height, width = shape
    try:
        with _opened(path) as picture:
            plain = picture.convert("L" if channels == 1 else "RGB")
            if plain.size != (width, height):
                plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path)) from None
    return np.asarray(plain, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"is not a picture ({error})", where=str(path)) from None
