"""Fixed networks that train for the whole budget on all images: ResNets and MobileNetV3-small."""

from __future__ import annotations

from dataclasses import replace

import torch
import torchvision
from torch import Tensor, nn

from contestants.training import Clock, Data, Recipe, Training

RECIPES = {
    "resnet20": Recipe("sgd", lr=0.05, batch=64, weight_decay=5e-4),
    "resnet18": Recipe("sgd", lr=0.02, batch=32, weight_decay=5e-4),
    "mobilenet": Recipe("sgd", lr=0.1, batch=64, weight_decay=5e-4),
}
"""Chosen on CIFAR-10 with seed 100 (docs/results/search)."""


def train(
    name: str, data: Data, seed: int, clock: Clock, lr: float | None, batch: int | None
) -> tuple[Training, str]:
    """Train a network for the whole budget; return it with its recipe.

    Args:
        lr, batch: highest learning rate and batch size, None for those of `RECIPES`.
    """
    usual = RECIPES[name]
    recipe = replace(usual, lr=lr or usual.lr, batch=batch or usual.batch)
    torch.manual_seed(seed)
    training = Training(_BUILDERS[name](data.shape[0], data.classes), recipe, data, seed)
    training.advance(clock, clock.left)
    return training, str(recipe)


class _Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut, as in ResNet."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *(nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)),
            nn.ReLU(inplace=True),
            *(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.Conv2d(inputs, width, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x) + self.shortcut(x)).relu_()


def resnet20(channels: int, classes: int) -> nn.Module:
    """Return the ResNet of 20 layers for CIFAR, with convolutions as shortcuts: 0.27 M weights."""
    layers = [nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for width in (16, 32, 64):
        for _ in range(3):
            layers.append(_Block(inputs, width, width // inputs))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def resnet18(channels: int, classes: int) -> nn.Module:
    """Return torchvision's ResNet-18 with a CIFAR stem: 3×3, stride 1, no pooling."""
    net = torchvision.models.resnet18(num_classes=classes)
    net.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()
    return net


def mobilenet(channels: int, classes: int) -> nn.Module:
    """Return torchvision's MobileNetV3-small, for images with other channels where needed."""
    net = torchvision.models.mobilenet_v3_small(num_classes=classes)
    if channels != 3:
        net.features[0][0] = nn.Conv2d(channels, 16, 3, 2, 1, bias=False)
    return net


_BUILDERS = {"resnet20": resnet20, "resnet18": resnet18, "mobilenet": mobilenet}
