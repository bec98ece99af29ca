"""Build an image transform from source text: `transform = v2.Compose([...])` or LEMUR's function.

LEMUR's is `def transform(norm): return transforms.Compose([...])` with `norm = (mean, std)`. It
imports only torch and torchvision, because its text is also a file of an exported network, which
runs without nngpt. It executes generated code: in nngpt, only in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.transforms import v2

# Random transforms of v2 whose names do not begin with "Random".
_RANDOM = frozenset({
    "AugMix", "AutoAugment", "ColorJitter", "CutMix", "ElasticTransform", "GaussianNoise", "JPEG",
    "MixUp", "RandAugment", "ScaleJitter", "TrivialAugmentWide",
})  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """A transform as two functions: `train` for training, `answer` for judged images."""

    train: Callable[[Tensor], Tensor]
    answer: Callable[[Tensor], Tensor]


def build(text: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Pipeline:
    """Return the transform of a source text, for training and for judged images.

    Args:
        mean, std: mean and standard deviation of each channel, 0…1.

    Raises:
        Exception: whatever the source text raises; it is generated code.
        ValueError: the text defines no transform.
    """
    steps = [usable for step in _steps(_execute(text, mean, std)) for usable in _for_tensors(step)]
    fixed = [kept for step in steps for kept in _deterministic(step)]
    return Pipeline(_chain(steps), _chain(fixed))


def _execute(text: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    """Execute source text and return its transform."""
    space: dict[str, Any] = {
        "__name__": "candidate_transform",
        "torch": torch,
        "torchvision": torchvision,
        "transforms": v2,
        "v2": v2,
    }
    exec(compile(text, "transform.py", "exec"), space)
    found = space.get("transform")
    if found is None:
        raise ValueError("the transform's source defines no name 'transform'")
    is_transform = isinstance(found, nn.Module) or hasattr(found, "transforms")
    return found if is_transform else found((tuple(mean), tuple(std)))


def _steps(transform: Any) -> list[Any]:
    """Return the steps in order, with nested `Compose`s flattened."""
    if type(transform).__name__ == "Compose" or isinstance(transform, nn.Sequential):
        parts = getattr(transform, "transforms", None) or list(transform.children())
        return [step for part in parts for step in _steps(part)]
    return [transform]


def _for_tensors(step: Any) -> list[Any]:
    """Replace a step that expects PIL images, since batches are tensors already."""
    name = type(step).__name__
    if name == "ToTensor":
        return [v2.ToDtype(torch.float32, scale=True)]
    if name in {"ToPILImage", "PILToTensor"}:
        return []
    return [step]


def _deterministic(step: Any) -> list[Any]:
    """Return the deterministic version of a step: none, or a fixed crop for a random one."""
    name = type(step).__name__
    if name in {"RandomCrop", "FiveCrop", "TenCrop"}:
        return [v2.CenterCrop(step.size)]
    if name == "RandomResizedCrop":
        return [v2.Resize(step.size, antialias=True)]
    return [] if name.startswith("Random") or name in _RANDOM else [step]


def _chain(steps: list[Any]) -> Callable[[Tensor], Tensor]:
    def run(images: Tensor) -> Tensor:
        for step in steps:
            images = step(images)
        if not images.is_floating_point():
            images = images.float().div(255)
        return torch.Tensor(images.float())

    return run
