"""A small synthetic data set (noise around one pattern per class) and an honest network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nngpt.data.splits import Part, Splits
from nngpt.records import Candidate, Task

CLASSES, SHAPE = 4, (1, 12, 12)

HONEST = """
import torch
from torch import nn


def supported_hyperparameters():
    return {"lr", "momentum"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.features = nn.Sequential(
            nn.Conv2d(in_shape[1], 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        )
        size = 8 * (in_shape[2] // 2) * (in_shape[3] // 2)
        self.classifier = nn.Linear(size, out_shape[0])

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))

    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            self.criterion(self(inputs), labels).backward()
            self.optimizer.step()
"""


def altered(old: str, new: str) -> str:
    """Return the honest network with one passage replaced."""
    assert old in HONEST
    return HONEST.replace(old, new)


def candidate(code: str = HONEST, batch: int = 16, transform: str = "norm") -> Candidate:
    """Return a candidate, without the contract check."""
    return Candidate(code, code, "full", {"lr": 0.05, "momentum": 0.9}, transform, batch)


def make_splits(folder: Path, train: int = 320, validation: int = 97, noise: float = 40) -> Splits:
    """Write separable data; with 97 validation images, the labels' length in bytes is unique."""
    random = np.random.default_rng(0)
    patterns = random.integers(40, 215, (CLASSES, *SHAPE))

    def part(name: str, count: int) -> Part:
        labels = random.integers(0, CLASSES, count)
        images = patterns[labels] + random.normal(0, noise, (count, *SHAPE))
        images = np.clip(images, 0, 255).astype(np.uint8)
        np.save(folder / f"{name}_x.npy", images)
        np.save(folder / f"{name}_y.npy", labels.astype(np.int64))
        return Part(folder / f"{name}_x.npy", folder / f"{name}_y.npy")

    return Splits(
        name="synthetic",
        classes=CLASSES,
        shape=SHAPE,
        mean=(0.5,),
        std=(0.25,),
        train=part("train", train),
        validation=part("validation", validation),
        test=part("test", 10),
    )


def make_task(max_parameters: int | None = None) -> Task:
    """Return the task of the data."""
    return Task("synthetic", (1, *SHAPE), (CLASSES,), 0.5, max_parameters=max_parameters)
