"""Feeds a candidate: batches of transformed images, drawn from arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_OFTEN = 50


class TrainingData:
    """The iterable that `learn` gets: one pass over the training images in a seeded order.

    Like an iterator it can be used up: a second pass in the same epoch gives nothing, so that
    every candidate gets the same training. `len()` is the number of batches.

    Attributes:
        images: uint8 [n, c, h, w] on the device.
        labels: int64 [n] on the device.
        batch: images a batch; a last batch of one image is left out (batch normalisation).
        drawn: how many batches were taken so far.
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
                self._on_batch(self.drawn)  # a batch is done when the next one is asked for
            self.drawn += 1
            yield self._transform(self.images[part]), self.labels[part]


def is_told(batches: int) -> bool:
    """True for the batches after which a worker reports: 1, 2, 5, 10, 20, 50, 100 …"""
    while batches >= 10 and batches % 10 == 0:
        batches //= 10
    return batches in (1, 2, 5)


def is_checked(batches: int) -> bool:
    """True for the batches after which weights are checked: every fiftieth, and the first few."""
    return batches % _OFTEN == 0 or batches in (1, 5, 20)


def _without_single(parts: tuple[Tensor, ...], batch: int) -> tuple[Tensor, ...]:
    if batch > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        return parts[:-1]
    return parts


def answering_batches(images: Tensor, batch: int) -> Iterator[Tensor]:
    """The images in order; a single last one joins its predecessors."""
    start = 0
    while start < len(images):
        end = start + batch
        if end + 1 >= len(images):
            end = len(images)
        yield images[start:end]
        start = end
