"""Split a cached data set into train, validation and test parts.

Validation images are the data set's own, or else drawn from its training images by a seeded
permutation; the test part is the official test set. Each part has its own files, so a worker can
map the training images without any access to validation labels ("No self-grading",
docs/design.md).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from nngpt import files
from nngpt.data import cache
from nngpt.data.cache import Images, Labels
from nngpt.errors import DataError
from nngpt.records import canonical_json

if TYPE_CHECKING:
    from nngpt.data.images import ImageFormat

_LARGE, _LARGE_VALIDATION = 50_000, 10_000
_CHUNK = 4 << 20
"""Bytes of images that are held in memory at once."""


@dataclass(frozen=True)
class Part:
    """The train, validation or test part of a data set, as two files.

    Attributes:
        images: uint8 [n, c, h, w], `.npy`.
        labels: int64 [n], `.npy`.
    """

    images: Path
    labels: Path

    @property
    def count(self) -> int:
        """Number of images in the part."""
        return len(self.open_labels())

    def open_images(self) -> Images:
        """Memory-map the part's images, read-only, [n, c, h, w]. Raises: DataError."""
        return cast(Images, cache.open_array(self.images))

    def open_labels(self) -> Labels:
        """Memory-map the part's labels, read-only, [n]. Raises: DataError."""
        return cast(Labels, cache.open_array(self.labels))


@dataclass(frozen=True)
class Splits:
    """The train, validation and test parts of a data set.

    Attributes:
        shape: (c, h, w).
        mean: mean per channel of the training images, scaled to 0…1.
        std: standard deviation per channel, likewise.
        train: images that candidates are trained on.
        validation: images that candidates are selected by.
        test: images read after a run has selected ("Test set apart", docs/design.md).
        class_names: name of each class, in the order of the labels; default: their numbers.
        image_format: how a picture file becomes an input, None if no files were pictures.
        digest: sha256 that identifies the data set's images and labels, and whether the rest of the
            validation images trains; "" if unknown.
    """

    name: str
    classes: int
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...] = ()
    image_format: ImageFormat | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))


def create(key: str, seed: int, train_limit: int | None, validation_limit: int | None) -> Splits:
    """Split a cached data set into parts, written once per (arrays, seed, limits).

    Args:
        key: folder of the data set in the cache.
        seed: seed of the permutation.
        train_limit: number of training images to use, in the permutation's order; None for all.
        validation_limit: number of validation images to use; limits do not change the order. What
            it leaves of images drawn from the training images trains, unless there is a
            `train_limit`.

    Raises: DataError if the data set is not in the cache, is damaged, or has fewer than two images.
    """
    meta = cache.read_meta(key)
    if meta is None:
        raise DataError("is not in the cache", where=f"data set {key}", hint="Pull it first")
    rest_trains = _rest_trains(key, meta, train_limit, validation_limit)
    identity = [meta.sha256, seed, train_limit, validation_limit, *["rest trains"] * rest_trains]
    name = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:16]
    target, digest = cache.folder(key) / "splits" / name, meta.digest
    if rest_trains:  # a run that began without these images must not go on with them
        digest = hashlib.sha256(f"{digest}, the rest trains".encode()).hexdigest()
    statistics = cache.read_json(target / "meta.json")
    if statistics is None:
        with cache.lock(key):
            statistics = cache.read_json(target / "meta.json")
            if statistics is None:
                cache.verify(key, meta)
                limits = train_limit, validation_limit
                statistics = _write(key, meta, target, seed, *limits, rest_trains)
    return Splits(
        name=meta.name,
        classes=meta.classes,
        shape=meta.shape,
        mean=tuple(statistics["mean"]),
        std=tuple(statistics["std"]),
        train=_part(target, "train"),
        validation=_part(target, "validation"),
        test=_part(cache.folder(key), "test"),
        class_names=meta.class_names,
        image_format=meta.image_format,
        digest=digest,
    )


def validation_count(images: int) -> int:
    """Return how many of the official training images become validation images."""
    return _LARGE_VALIDATION if images >= _LARGE else max(1, images // 10)


def _rest_trains(
    key: str, meta: cache.Meta, train_limit: int | None, validation_limit: int | None
) -> bool:
    """Return whether images that `validation_limit` leaves over train."""
    if validation_limit is None or train_limit is not None or meta.validation:
        return False
    return validation_limit < validation_count(_part(cache.folder(key), "train").count)


def _write(
    key: str,
    meta: cache.Meta,
    target: Path,
    seed: int,
    train_limit: int | None,
    validation_limit: int | None,
    rest_trains: bool,
) -> dict[str, list[float]]:
    whole = _part(cache.folder(key), "train")
    images, labels = whole.open_images(), whole.open_labels()
    if len(labels) < 2:
        raise DataError("has fewer than two training images", where=f"data set {key}")
    random = np.random.Generator(np.random.PCG64(seed))
    order, held_out = random.permutation(len(labels)), validation_count(len(labels))
    validation, train = order[:held_out], order[held_out:]
    if meta.validation:
        first = len(labels) - meta.validation
        train, validation = order[order < first], order[order >= first]
    if rest_trains:
        train = np.concatenate([train, validation[validation_limit:]])
    chosen = {"validation": validation[:validation_limit], "train": train[:train_limit]}
    with files.scratch(target) as partial, files.write_errors(target):
        for name, indices in chosen.items():
            with cache.writing_rows(partial / f"{name}_x.npy", meta.shape) as append:
                for some in _chunks(len(indices), meta.shape):
                    append(images[indices[some]])
            np.save(partial / f"{name}_y.npy", labels[indices])
        statistics = _statistics(_part(partial, "train").open_images())
        (partial / "meta.json").write_text(json.dumps(statistics))
        files.publish(partial, target)
    return statistics


def _statistics(images: Images) -> dict[str, list[float]]:
    """Return mean and standard deviation per channel, from exact integer sums."""
    channels = images.shape[1]
    total = np.zeros(channels, np.int64)
    squares = np.zeros(channels, np.int64)
    for some in _chunks(len(images), images.shape[1:]):
        chunk = images[some].astype(np.int64)
        total += chunk.sum(axis=(0, 2, 3))
        squares += (chunk * chunk).sum(axis=(0, 2, 3))
    count = images.size // channels
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return {"mean": (mean / 255).tolist(), "std": (std / 255).tolist()}


def _chunks(count: int, shape: Sequence[int]) -> Iterator[slice]:
    """Yield slices of `count` images that are small enough to be held in memory."""
    rows = max(1, _CHUNK // math.prod(shape))
    return (slice(start, start + rows) for start in range(0, count, rows))


def _part(folder: Path, name: str) -> Part:
    return Part(folder / f"{name}_x.npy", folder / f"{name}_y.npy")
