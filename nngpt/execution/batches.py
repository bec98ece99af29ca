"""Feeds a candidate: batches of transformed images, drawn from arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


class TrainingData:
    """The iterable that `learn` gets: one pass over the training images in a seeded order.

    Like an iterator it can be used up: a second pass in the same epoch gives nothing, so that
    every candidate gets the same training. `len()` is the number of batches.

    Attributes:
        images: uint8 [n, c, h, w] on the device.
        labels: int64 [n] on the device.
        batch: images a batch; a last batch of one image is left out (batch normalisation).
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch: int,
        transform: Callable[[Tensor], Tensor],
        seed: int,
    ) -> None:
        self.images, self.labels, self.batch = images, labels, batch
        self._transform = transform
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        self._parts = _without_single(torch.split(order, batch), batch)
        self._rest = iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part in self._rest:
            yield self._transform(self.images[part]), self.labels[part]


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
