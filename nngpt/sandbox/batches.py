"""Batches of transformed images, from arrays in memory, for training and for answering."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_OFTEN = 50


class TrainingData:
    """The iterable passed to `learn`: one pass over the training images in a seeded order.

    A second pass in the same epoch yields nothing, so every candidate gets the same training.
    `len()` is the number of batches.

    Args:
        transform: applied to the images [b, c, h, w] of each batch.
        on_batch: called with the number of finished batches before the next one is drawn.

    Attributes:
        images: uint8 [n, c, h, w] on the device.
        labels: int64 [n] on the device.
        batch: batch size; a last batch of one image is dropped (batch normalisation needs two).
        drawn: number of batches drawn so far.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch: int,
        transform: Callable[[Tensor], Tensor],
        seed: int,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.images, self.labels, self.batch = images, labels, batch
        self.drawn = 0
        self._transform, self._on_batch = transform, on_batch
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        self._parts = _without_single(torch.split(order, batch), batch)
        self._rest = iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part in self._rest:
            if self.drawn:
                self._on_batch(self.drawn)  # a batch is finished when the next one is requested
            self.drawn += 1
            yield self._transform(self.images[part]), self.labels[part]


def is_reported(batches: int) -> bool:
    """Return True after 1, 2, 5, 10, 20, 50, 100 … batches, when a worker reports progress."""
    while batches >= 10 and batches % 10 == 0:
        batches //= 10
    return batches in (1, 2, 5)


def is_checked(batches: int) -> bool:
    """Return True after 1, 5, 20 and every 50 batches, when a worker checks for NaN weights."""
    return batches % _OFTEN == 0 or batches in (1, 5, 20)


def _without_single(parts: tuple[Tensor, ...], batch: int) -> tuple[Tensor, ...]:
    if batch > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        return parts[:-1]
    return parts


def answering_batches(images: Tensor, batch: int) -> Iterator[Tensor]:
    """Yield the images in order; a single last one joins the batch before it."""
    start = 0
    while start < len(images):
        end = start + batch
        if end + 1 >= len(images):
            end = len(images)
        yield images[start:end]
        start = end
