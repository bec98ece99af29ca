"""What the baselines share: images in memory, a clock of CPU seconds, and one way to train."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nngpt import config
from nngpt.data.loading import data_source, load_splits
from nngpt.sandbox import transforms
from nngpt.sandbox.source_transform import Pipeline

WARM_UP = 0.1
"""Share of a training in which the learning rate rises."""

SMOOTHING, CLIP = 0.1, 5.0
_HELD_OUT = 5000
_AT_ONCE = 500


@dataclass(frozen=True)
class Recipe:
    """How a network trains.

    Attributes:
        optimiser: "sgd" (with Nesterov momentum) or "adamw".
        lr: highest learning rate.
    """

    optimiser: str
    lr: float
    batch: int
    weight_decay: float

    def __str__(self) -> str:
        decay = f"weight decay {self.weight_decay:.2g}"
        return f"{self.optimiser} {self.lr:.3g}, batch {self.batch}, {decay}"


class Clock:
    """A budget of CPU seconds of this process, whose waiting does not count.

    Attributes:
        seconds: the budget.
    """

    def __init__(self, seconds: float, began: float = 0.0) -> None:
        """Start a clock. `began`: `time.process_time()` at its start; 0 is the process's own."""
        self.seconds, self._began = seconds, began

    @property
    def spent(self) -> float:
        """CPU seconds since the start."""
        return time.process_time() - self._began

    @property
    def left(self) -> float:
        """CPU seconds left; negative after the end."""
        return self.seconds - self.spent


@dataclass(frozen=True)
class Part:
    """Images uint8 [n, c, h, w] with labels int64 [n]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def cut(self, first: int | None, end: int | None) -> Part:
        """Return a range of the images."""
        return Part(self.images[first:end], self.labels[first:end])


@dataclass(frozen=True)
class Data:
    """A data set: all images that are not test images, in a seeded order, and the test images.

    Attributes:
        pipeline: augmentation, and what judged images pass.
    """

    classes: int
    whole: Part
    test: Part
    pipeline: Pipeline

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.whole.images.shape
        return channels, height, width

    def held_out(self) -> tuple[Data, Part]:
        """Return the data without 5,000 images (a tenth of small sets), and these."""
        count = min(_HELD_OUT, len(self.whole) // 10)
        return replace(self, whole=self.whole.cut(None, -count)), self.whole.cut(-count, None)


def load(name: str, seed: int) -> Data:
    """Load a data set by its name or the path of its folder; the seed orders its images."""
    settings = config.load(None, [f"task.dataset={name}", f"seed={seed}"])
    splits = load_splits(settings, data_source(settings), print)
    parts = [
        [getattr(part, what)() for part in (splits.train, splits.validation, splits.test)]
        for what in ("open_images", "open_labels")
    ]
    (train, chosen, test), (*train_labels, test_labels) = parts
    transform = "norm-crop-flip" if splits.shape[0] == 3 else "norm-crop"
    return Data(
        splits.classes,
        Part(_tensor(train, chosen), _tensor(*train_labels)),
        Part(_tensor(test), _tensor(test_labels)),
        transforms.build(transform, splits.mean, splits.std),
    )


def _tensor(*arrays: Any) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays))


class Training:
    """One network with its optimiser, trained on whenever asked: cross-entropy, smoothed labels.

    Weight decay applies to weights with two or more dimensions. Convolutions run in the memory
    format `channels_last`, unless the network cannot.

    Attributes:
        net: the network.
        passed: images trained on so far.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, data: Data, seed: int) -> None:
        self.net, self.passed = net, 0
        self._recipe, self._data = recipe, data
        self._order = torch.Generator().manual_seed(seed)
        self._format = _memory_format(net, data.whole.cut(0, 2).images.float())
        net.to(memory_format=self._format)
        weights, rest = (
            [p for p in net.parameters() if (p.ndim > 1) is large] for large in (True, False)
        )
        groups = [{"params": weights, "weight_decay": recipe.weight_decay}]
        if rest:
            groups.append({"params": rest, "weight_decay": 0.0})
        self._optimiser: torch.optim.Optimizer
        if recipe.optimiser == "adamw":
            self._optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))
        else:
            self._optimiser = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)
        self._waiting = torch.empty(0, dtype=torch.int64)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.net.parameters() if p.requires_grad)

    def advance(self, clock: Clock, seconds: float) -> None:
        """Train for so many CPU seconds; the learning rate rises and falls once."""
        begun = clock.spent
        self.net.train()
        while (progress := (clock.spent - begun) / max(seconds, 1e-9)) < 1:
            rate = float(np.interp(progress, (0, WARM_UP, 1), (0, self._recipe.lr, 0)))
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            chosen = self._next()
            images = self._data.pipeline.train(self._data.whole.images[chosen])
            labels = self._data.whole.labels[chosen]
            loss = nn.functional.cross_entropy(
                self._logits(images), labels, label_smoothing=SMOOTHING
            )
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
            self._optimiser.step()
            self.passed += len(chosen)

    def correct(self, part: Part) -> int:
        """Return how many images the network labels correctly."""
        self.net.eval()
        found = 0
        with torch.inference_mode():
            for first in range(0, len(part), _AT_ONCE):
                some = part.cut(first, first + _AT_ONCE)
                logits = self._logits(self._data.pipeline.answer(some.images))
                found += int((logits.argmax(1) == some.labels).sum())
        return found

    def accuracy(self, part: Part) -> float:
        """Return the share of images that the network labels correctly."""
        return self.correct(part) / len(part)

    def _logits(self, images: Tensor) -> Tensor:
        found = self.net(images.contiguous(memory_format=self._format))
        return found[0] if isinstance(found, tuple | list) else found

    def _next(self) -> Tensor:
        """Return the indices of the next batch; every epoch has an order of its own."""
        batch = min(self._recipe.batch, len(self._data.whole))
        if len(self._waiting) < batch:
            self._waiting = torch.randperm(len(self._data.whole), generator=self._order)
        chosen, self._waiting = self._waiting[:batch], self._waiting[batch:]
        return chosen


def _memory_format(net: nn.Module, images: Tensor) -> torch.memory_format:
    """Return `channels_last`, unless the network (by `Tensor.view`) wants channels first."""
    net.eval()
    with torch.no_grad():
        net(images)  # lazy layers get their weights
        try:
            net.to(memory_format=torch.channels_last)
            net(images.contiguous(memory_format=torch.channels_last))
        except RuntimeError:
            return torch.contiguous_format
    return torch.channels_last
