"""Parse the names of image transforms, without heavy imports.

A name lists steps for a batch of uint8 images, in this order: scale to 0…1, resize (`-32`), crop
at random after padding by 4 (`-crop`), flip at random (`-flip`), and, for `norm`, normalise with
the mean and deviation of the training images. Random steps are drawn per image, and only in
training. `_` may stand for `-`, as in LEMUR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIZES = (32, 64, 128, 256, 299)
_COMMON = (
    *("echo", "norm", "norm-flip", "norm-crop-flip"),
    *(f"norm-{size}{flip}" for size in _SIZES for flip in ("", "-flip")),
)
_NAME = re.compile(r"(echo|norm)(?:-(\d{1,4}))?(-crop)?(-flip)?")
_MAX_SIZE = 1024


@dataclass(frozen=True)
class TransformSpec:
    """Steps of a named image transform.

    Attributes:
        size: height and width after resizing, in pixels; None for no resizing.
        crop: random crop of the same size after padding by 4 pixels.
        flip: random horizontal flip.
        normalise: subtract the training mean and divide by the deviation.
    """

    size: int | None
    crop: bool
    flip: bool
    normalise: bool


def names() -> list[str]:
    """Return the common names of image transforms; `spec` accepts every combination."""
    return list(_COMMON)


def dashed(name: str) -> str:
    """Return a transform's name with `-` for LEMUR's `_`."""
    return name.replace("_", "-")


def spec(name: str) -> TransformSpec | None:
    """Return the steps of a transform's name, or None if it is not a name (maybe source text)."""
    match = _NAME.fullmatch(dashed(name.strip()))
    if match is None:
        return None
    base, size, crop, flip = match.groups()
    if size and not 1 <= int(size) <= _MAX_SIZE:
        return None
    return TransformSpec(int(size) if size else None, bool(crop), bool(flip), base == "norm")
