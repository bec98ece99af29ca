"""What a folder's image files have in common, the format chosen for them, and their pixels.

All files are read in threads: Pillow decodes without holding Python's lock.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import Image

from nngpt.data.cache import Images
from nngpt.data.images import (
    DAMAGE,
    ImageFormat,
    grey_range,
    load_image,
    open_image,
    reason,
    turn_of,
)

LONGEST = 64
"""Longest side in pixels that is kept by default; larger images get this height and width."""

_BLOCK = 256
_SIDEWAYS = {
    *(Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE),
    *(Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
}
T = TypeVar("T")


@dataclass(frozen=True)
class ImageSettings:
    """The user's settings for reading a folder of images (`nngpt.config.TaskConfig`).

    Attributes:
        size: (height, width) in pixels; None for one that suits the images.
        channels: 1 for grey, 3 for colour; None for colour if any image has colours.
        resize: as in `nngpt.data.images.ImageFormat`.
        skip: share of the files that may be skipped because they cannot be read, 0…1.
    """

    size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    skip: float = 0.05


@dataclass(frozen=True)
class ImageFacts:
    """What the header of an image file says, and of deep grey images the largest value.

    Attributes:
        size: (width, height), upright.
        white: largest value if there are more than 8 bits to a pixel, else 0.
    """

    size: tuple[int, int]
    format: str
    colour: bool
    transparent: bool
    turned: bool
    animated: bool
    white: int


@dataclass
class ImageSurvey:
    """Counts over a folder's image files.

    Attributes:
        sizes: (width, height) → number of images.
        formats: name of the format → number of images.
        white: largest value in images of more than 8 bits, 0 if there are none.
        broken: path below the root → why the file cannot be read.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    colour: int = 0
    grey: int = 0
    deep: int = 0
    transparent: int = 0
    turned: int = 0
    animated: int = 0
    white: int = 0
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, facts: ImageFacts) -> None:
        """Count one image."""
        self.sizes[facts.size] += 1
        self.formats[facts.format] += 1
        self.colour += facts.colour
        self.grey += not facts.colour
        self.deep += facts.white > 0
        self.transparent += facts.transparent
        self.turned += facts.turned
        self.animated += facts.animated
        self.white = max(self.white, facts.white)


def survey(root: Path, paths: Sequence[str]) -> ImageSurvey:
    """Read the headers of image files below `root`."""
    found = ImageSurvey()
    for path, facts in zip(paths, _in_threads(partial(_facts, root), paths), strict=True):
        if isinstance(facts, str):
            found.broken[path] = facts
        else:
            found.add(facts)
    return found


def choose_format(found: ImageSurvey, settings: ImageSettings) -> tuple[ImageFormat, list[str]]:
    """Return the format for a folder's images, and a sentence with the reason for each choice.

    There must be an image that can be read.
    """
    height, width, why_size = _size(found, settings)
    channels, why_colour = _channels(found, settings)
    lines = [why_size, why_colour]
    mixed = any(w * height != h * width for w, h in found.sizes)
    if mixed:
        ways = {
            "stretch": "stretched to it: aspect ratios change",
            "pad": "shrunk to fit, on white",
            "crop": "shrunk to cover it and cut off evenly",
        }
        lines.append(f"images of another aspect ratio are {ways[settings.resize]} (task.resize)")
    format = ImageFormat(channels, height, width, settings.resize)
    if found.deep:
        bits = max(8, found.white.bit_length())
        format = ImageFormat(channels, height, width, settings.resize, white=2**bits - 1)
        lines.append(f"{found.deep:,} grey images are deeper than 8 bits: they use {bits} bits")
    return format, lines


def read_images(root: Path, paths: Sequence[str], format: ImageFormat) -> Iterator[Images | str]:
    """Yield each image as uint8 [c, h, w], or why it cannot be read, in the order of the paths."""
    return _in_threads(partial(_pixels, root, format), paths)


def _in_threads(read: Callable[[str], T], paths: Sequence[str]) -> Iterator[T]:
    """Yield `read` of each path, in order; at most a few hundred results wait at a time."""
    with _quiet(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        left = iter(paths)
        while block := list(islice(left, _BLOCK)):
            yield from list(pool.map(read, block))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings about odd files, but make those about huge images errors."""
    Image.init()  # not in several threads at once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _pixels(root: Path, format: ImageFormat, path: str) -> Images | str:
    try:
        image = load_image(root / path, format)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    except ValueError as error:
        return str(error)
    whole = np.asarray(image, np.uint8).reshape(format.height, format.width, format.channels)
    return whole.transpose(2, 0, 1)


def _facts(root: Path, path: str) -> ImageFacts | str:
    try:
        with open_image(root / path) as image:
            return _facts_of(image)
    except OSError as error:
        if error.errno is not None:
            return f"cannot be opened ({error.strerror})"
        return reason(error)
    except DAMAGE as error:
        return reason(error)


def _facts_of(image: Image.Image) -> ImageFacts:
    format = str(image.format)
    # Pillow would decode a PNG for its orientation, and turns a TIFF itself.
    turn = turn_of(image) if format not in {"PNG", "TIFF"} else None
    width, height = image.size
    colour = image.mode not in {"1", "L", "LA", "La", "F"} and not image.mode.startswith("I")
    if image.mode in {"P", "PA"}:
        palette = image.getpalette() or []
        colour = palette[0::3] != palette[1::3] or palette[1::3] != palette[2::3]
    white = 0
    if image.mode.startswith("I"):
        image.load()
        found = grey_range(image)
        white = max(1, int(found[1])) if found else 0
    return ImageFacts(
        size=(height, width) if turn in _SIDEWAYS else (width, height),
        format=format,
        colour=colour,
        transparent=image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info,
        turned=turn is not None,
        animated=_is_animated(image),
        white=white,
    )


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except DAMAGE:  # in a frame that does not count
        return True


def _size(found: ImageSurvey, settings: ImageSettings) -> tuple[int, int, str]:
    """Return height, width, and why."""
    if settings.size:
        height, width = settings.size
        return height, width, f"{height}×{width} pixels, as task.image_size says"
    height, width, which = usual_size(found)
    if max(width, height) > LONGEST:
        why = f"{width}×{height} ({which}) is larger than {LONGEST} pixels"
        return LONGEST, LONGEST, f"{LONGEST}×{LONGEST} pixels, because {why} (task.image_size)"
    return height, width, f"{height}×{width} pixels: {which} (task.image_size)"


def usual_size(found: ImageSurvey) -> tuple[int, int, str]:
    """Return the height and width that most images have, or else the median ones, and which."""
    ((width, height), count), total = found.sizes.most_common(1)[0], found.sizes.total()
    if 2 * count >= total:
        which = "all images have it" if count == total else f"{count:,} of {total:,} images have it"
        return height, width, which
    width = _median(width for width, _ in found.sizes.elements())
    height = _median(height for _, height in found.sizes.elements())
    return height, width, "the median of the images' heights and widths"


def _median(sides: Iterable[int]) -> int:
    """Return the lower median of the sides of images."""
    ordered = sorted(sides)
    return ordered[(len(ordered) - 1) // 2]


def _channels(found: ImageSurvey, settings: ImageSettings) -> tuple[Literal[1, 3], str]:
    """Return the number of channels, and why."""
    names: dict[int, str] = {1: "grey", 3: "colour"}
    counts = f"{found.colour:,} images have colours, {found.grey:,} are grey"
    if settings.channels:
        return settings.channels, f"{names[settings.channels]}, as task.channels says; {counts}"
    channels: Literal[1, 3] = 3 if found.colour else 1
    return channels, f"{names[channels]}: {counts} (task.channels)"
