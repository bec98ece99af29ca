"""How networks train in a search: optimiser, learning rate, batch, transform and format."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nngpt.records import TrainingStage

WARM_UP = 0.1
"""Share of a stage in which the learning rate rises."""

DECAY = {"adamw": 0.05, "sgd": 5e-4}
"""Weight decay, by optimiser."""

SMALL = 0.6
"""Share of a training with small images, unless these have too few pixels."""

_BATCH = 64
"""Batch size for which networks of the portfolio name a learning rate of SGD."""


@dataclass(frozen=True)
class Recipe:
    """How networks train in a search.

    Attributes:
        optimiser: "sgd" or "adamw".
        lr: highest learning rate.
        precision, memory_format: as in `evaluation`.
        small: share of a training, from its start, in which images have three quarters of their
            sides (`TrainingStage.small`).
    """

    optimiser: str = "adamw"
    lr: float = 0.003
    batch: int = 64
    weight_decay: float = DECAY["adamw"]
    transform: str = "norm"
    precision: str = "float32"
    memory_format: str = "contiguous"
    small: float = 0.0

    @property
    def note(self) -> str:
        """The recipe in a few words."""
        small = f", small images for {self.small:.0%}" if self.small else ""
        return f"{self.optimiser} {self.lr:g}, batch {self.batch}, {self.transform}{small}"

    def with_rate(self, rate: float | None) -> Recipe:
        """Return the recipe with SGD at the rate for batches of 64; itself without a rate."""
        if rate is None:
            return self
        lr = rate * self.batch / _BATCH
        return replace(self, optimiser="sgd", lr=lr, weight_decay=DECAY["sgd"])

    def stage(
        self, images: int, first: int, seconds: float, start: float = 0.0, end: float = 1.0
    ) -> TrainingStage:
        """Return a stage: the part from `start` to `end` of one rise and fall of the rate."""
        progress, rates = (0.0, WARM_UP, 1.0), (0.0, self.lr, 0.0)
        points = sorted({start, *(p for p in progress if start < p < end), end})
        at = np.interp(points, progress, rates)
        schedule = tuple(
            ((p - start) / (end - start), float(r)) for p, r in zip(points, at, strict=True)
        )
        return TrainingStage(
            images=max(1, images),
            first=first,
            schedule=schedule,
            seconds=seconds,
            optimiser=self.optimiser,
            batch=self.batch,
            weight_decay=self.weight_decay,
            transform=self.transform,
            precision=self.precision,
            memory_format=self.memory_format,
            small=min(1.0, max(0.0, (self.small - start) / (end - start))),
        )
