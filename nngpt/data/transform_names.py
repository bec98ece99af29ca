"""The transforms that have a name. Imports nothing heavy, so the contract can ask for them.

A name says what happens to a batch of uint8 images, in this order: scaled to 0…1, resized
(`-32`), randomly cropped after padding by 4 (`-crop`), flipped at random (`-flip`), and, for
`norm`, normalised with the mean and deviation of the training images. Random steps are drawn
for each image, and only while training. `_` may stand for `-`, as in LEMUR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMON = (
    "echo",
    "norm",
    "norm-flip",
    "norm-crop-flip",
    "norm-32",
    "norm-32-flip",
    "norm-64",
    "norm-64-flip",
    "norm-128",
    "norm-128-flip",
    "norm-256",
    "norm-256-flip",
    "norm-299",
    "norm-299-flip",
)
_NAME = re.compile(r"(echo|norm)(?:-(\d{1,4}))?(-crop)?(-flip)?")
_MAX_SIZE = 1024


@dataclass(frozen=True)
class Spec:
    """What a named transform does.

    Attributes:
        size: height and width after resizing, in pixels; None leaves them.
        crop: random crop of the same size after padding by 4 pixels.
        flip: random horizontal flip.
        normalise: subtract the training mean, divide by the deviation.
    """

    size: int | None
    crop: bool
    flip: bool
    normalise: bool


def names() -> list[str]:
    """The usual names, for prompts and hints; `spec` understands every combination."""
    return list(_COMMON)


def dashed(name: str) -> str:
    """A name as we write it: LEMUR has `_` for `-`."""
    return name.replace("_", "-")


def spec(name: str) -> Spec | None:
    """What the name stands for; None if it is no name (it may be source text)."""
    match = _NAME.fullmatch(dashed(name.strip()))
    if match is None:
        return None
    base, size, crop, flip = match.groups()
    if size and not 1 <= int(size) <= _MAX_SIZE:
        return None
    return Spec(int(size) if size else None, bool(crop), bool(flip), base == "norm")
