"""Build functions on batches from a transform's name or source. Runs in the worker only.

Training uses the whole transform, answering its deterministic part, so that no score depends on
randomness.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from nngpt.data.transform_names import TransformSpec, spec
from nngpt.sandbox import source_transform
from nngpt.sandbox.source_transform import Pipeline

_PADDING = 4


def build(text: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Pipeline:
    """Return the transform of a name or source text, for training and for judged images.

    Args:
        mean, std: mean and standard deviation of each channel, 0…1.

    Raises:
        Exception: whatever the source text raises; it is generated code.
        ValueError: the text defines no transform.
    """
    known = spec(text)
    return source_transform.build(text, mean, std) if known is None else _named(known, mean, std)


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
