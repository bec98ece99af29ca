"""Our own training loop, and batches of transformed images in memory for every loop.

A network that would be admitted is trained once more with this loop and another seed, without its
`train_setup` and `learn`. The accuracy of this training counts, whatever the network's own loop
does, and its time shows a loop that trains too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

LR, MOMENTUM, CLIP = 0.01, 0.9, 1.0


class PlainTrainingLoop:
    """SGD on cross-entropy, with gradients clipped at norm 1.

    Learning rate and momentum are the network's hyperparameters `lr` and `momentum` if it has both,
    else 0.01 and 0.9: without a momentum, the learning rate may be that of another optimiser. Of
    several outputs in training (auxiliary classifiers) the first counts.
    """

    def __init__(self, net: Any, hyperparameters: Mapping[str, Any]) -> None:
        self._net = net
        lr, momentum = LR, MOMENTUM
        if hyperparameters.keys() >= {"lr", "momentum"}:
            lr, momentum = float(hyperparameters["lr"]), float(hyperparameters["momentum"])
        self._optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)

    def learn(self, train_data: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Train for one epoch on batches of (images [b, c, h, w], labels [b])."""
        for images, labels in train_data:
            self._optimiser.zero_grad()
            logits = self._net(images)
            logits = logits[0] if isinstance(logits, tuple | list) else logits
            loss = nn.functional.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._net.parameters(), CLIP)
            self._optimiser.step()


class TrainingData:
    """The iterable passed to `learn`: one pass over the training images in a seeded order.

    A second pass in the same epoch yields nothing, so every candidate gets the same training.
    `len()` is the number of batches, `drawn` the number of those drawn so far.

    Args:
        images: uint8 [n, c, h, w] on the device.
        labels: int64 [n] on the device.
        batch: batch size; a last batch of one image is dropped (batch normalisation needs two).
        transform: applied to the images [b, c, h, w] of each batch.
        on_batch: called with the number of finished batches before the next one is drawn.
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
        self.images, self.labels, self.batch, self.drawn = images, labels, batch, 0
        self._transform, self._on_batch = transform, on_batch
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        self._parts = torch.split(order, batch)
        if len(self._parts) > 1 and len(self._parts[-1]) == 1 and batch > 1:
            self._parts = self._parts[:-1]
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
    """Return True after 1, 2, 5, 10, 20 … batches, when a training loop reports progress."""
    while batches >= 10 and batches % 10 == 0:
        batches //= 10
    return batches in (1, 2, 5)


def is_checked(batches: int) -> bool:
    """Return True after 1, 5, 20 and every 50 batches: a training loop checks for NaN weights."""
    return batches % 50 == 0 or batches in (1, 5, 20)


def answering_batches(images: Tensor, batch: int) -> Iterator[Tensor]:
    """Yield images to answer in batches, in order; a single last one joins the batch before it."""
    start = 0
    while start < len(images):
        end = start + batch if start + batch + 1 < len(images) else len(images)
        yield images[start:end]
        start = end
