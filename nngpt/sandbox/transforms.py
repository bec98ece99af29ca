"""Build functions on batches from a transform's name or source. Runs in the worker only.

Training uses the whole transform, answering its deterministic part, so that no score depends on
randomness. Source text is either `transform = v2.Compose([...])` or LEMUR's
`def transform(norm): return transforms.Compose([...])` with `norm = (mean, std)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from nngpt.data.transform_names import TransformSpec, spec

_PADDING = 4

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
    """Return the transform of a name or source text, for training and for judged images.

    Args:
        mean, std: mean and standard deviation of each channel, 0…1.

    Raises:
        Exception: whatever the source text raises; it is generated code.
        ValueError: the text defines no transform.
    """
    if known := spec(text):
        return _named(known, mean, std)
    steps = [usable for step in _steps(_execute(text, mean, std)) for usable in _for_tensors(step)]
    fixed = [kept for step in steps for kept in _deterministic(step)]
    return Pipeline(_chain(steps), _chain(fixed))


def _named(known: TransformSpec, mean: tuple[float, ...], std: tuple[float, ...]) -> Pipeline:
    def answer(images: Tensor) -> Tensor:
        images = images.float().div_(255)
        if known.size:
            size = known.size, known.size
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        if known.normalise:
            images = v2.functional.normalize(images, list(mean), list(std), inplace=True)
        return images

    def train(images: Tensor) -> Tensor:
        images = answer(images)
        images = crop(images) if known.crop else images
        return flip(images) if known.flip else images

    return Pipeline(train, answer)


def flip(images: Tensor) -> Tensor:
    """Transform images [b, c, h, w]: mirror each with probability 1/2, independently."""
    chosen = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def crop(images: Tensor) -> Tensor:
    """Transform images [b, c, h, w]: shift each by up to 4 pixels per axis, repeating borders."""
    count, channels, height, width = images.shape
    padded = functional.pad(images, (_PADDING,) * 4, mode="replicate")
    device = images.device
    shifts = torch.randint(0, 2 * _PADDING + 1, (2, count, 1), device=device)
    rows = shifts[0] + torch.arange(height, device=device)
    columns = shifts[1] + torch.arange(width, device=device)
    samples = torch.arange(count, device=device)[:, None, None, None]
    planes = torch.arange(channels, device=device)[None, :, None, None]
    return padded[samples, planes, rows[:, None, :, None], columns[:, None, None, :]]


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
