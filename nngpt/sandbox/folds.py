"""Split images into training and validation data: the fixed split, or k folds."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nngpt.data.splits import Splits
from nngpt.sandbox import sealed_memory
from nngpt.sandbox.judge import Labels

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Fold:
    """Training data in sealed memory, and validation data in this process.

    Attributes:
        number: counted from 1; 0 for the fixed split.
        train_images, train_labels: descriptors of sealed memory, uint8 [n, c, h, w] and int64 [n].
        validation_images, validation_labels: uint8 [m, c, h, w], and int64 [m], which are in this
            process only (invariant "No self-grading").
    """

    number: int
    train_images: int
    train_labels: int
    train_count: int
    validation_images: Images
    validation_labels: Labels


class Folds:
    """The folds of a data set; each one's training data is copied to memory when first needed.

    With k folds, training and validation images are joined, shuffled with `seed` and cut into k
    parts; each fold validates on one part and trains on the others. May be used by several threads.
    """

    def __init__(self, splits: Splits, k: int | None, seed: int) -> None:
        """Open the images of `splits` for folds; `k` is None for the fixed split."""
        self._splits, self._k = splits, k
        self._lock = threading.Lock()
        self._made: dict[int, Fold] = {}
        self._descriptors: list[int] = []
        validation = splits.validation
        self._images: Images = validation.open_images()
        self._labels = np.array(validation.open_labels(), np.int64)
        if k is not None:
            train = splits.train
            self._images = np.concatenate([train.open_images(), self._images])
            self._labels = np.concatenate([np.asarray(train.open_labels(), np.int64), self._labels])
            order = np.random.default_rng(seed).permutation(len(self._labels))
            self._parts = [np.sort(part) for part in np.array_split(order, k)]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the folds."""
        return (0,) if self._k is None else tuple(range(1, self._k + 1))

    @property
    def image_count(self) -> int:
        """Number of training and validation images together."""
        return len(self._labels) + (self._splits.train.count if self._k is None else 0)

    def fold(self, number: int) -> Fold:
        """Return this fold of the images (from 1; 0 is the fixed split), made when first needed."""
        with self._lock:
            if number not in self._made:
                self._made[number] = self._make(number)
            return self._made[number]

    def close(self) -> None:
        """Free the folds' training data."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _make(self, number: int) -> Fold:
        if self._k is None:
            train = self._splits.train
            images, labels = train.open_images(), np.asarray(train.open_labels(), np.int64)
            order, validation = None, (self._images, self._labels)
        else:
            judged, images, labels = self._parts[number - 1], self._images, self._labels
            order = np.setdiff1d(np.arange(len(labels)), judged)
            validation = images[judged], labels[judged]
        count = len(labels if order is None else order)
        data = self._sealed("images", images, order), self._sealed("labels", labels, order)
        return Fold(number, *data, count, *validation)

    def _sealed(self, name: str, array: Images | Labels, order: Labels | None) -> int:
        chunks = sealed_memory.chunks(array, order)
        self._descriptors.append(sealed_memory.sealed(f"train-{name}", chunks))
        return self._descriptors[-1]
