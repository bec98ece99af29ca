"""Features of a transform, read from its source."""

from __future__ import annotations

import re
from functools import lru_cache

_RESIZE = re.compile(r"Resize\(\s*(?:size\s*=\s*)?[(\[]?\s*(\d+)")
_CROP = re.compile(
    r"(?:RandomCrop|CenterCrop|RandomResizedCrop)\(\s*(?:size\s*=\s*)?[(\[]?\s*(\d+)"
)
_STEP = re.compile(r"\b([A-Z]\w+)\(")
_NOT_STEPS = frozenset({"Compose", "ToTensor", "Normalize", "Resize", "PILToTensor"})
_COLOURS = ("Color", "Contrast", "Sharpness", "Posterize", "Solarize", "Equalize", "Gray", "Invert")
_MOVES = ("Rotation", "Affine", "Perspective", "Elastic")

NAMES: tuple[str, ...] = (
    *("transform_size", "transform_crop", "transform_steps", "transform_flips"),
    *("transform_normalised", "transform_erased", "transform_colours", "transform_moves"),
)


@lru_cache(maxsize=4096)
def features(source: str | None) -> tuple[float, ...]:
    """Return the features of a transform's source in the order of `NAMES`.

    They are: side of the image and of the last crop in pixels, number of steps other than resizing
    and normalising, number of flips, whether images are normalised, whether parts are erased,
    number of colour changes, number of movements. All are NaN without a source.
    """
    if source is None:
        return (float("nan"),) * len(NAMES)
    resized, cropped = _RESIZE.findall(source), _CROP.findall(source)
    steps = [name for name in _STEP.findall(source) if name not in _NOT_STEPS]
    return (
        float(resized[-1]) if resized else float("nan"),
        float(cropped[-1]) if cropped else float("nan"),
        float(len(steps)),
        float(sum("Flip" in step for step in steps)),
        float("Normalize" in source),
        float("Erasing" in source),
        float(sum(any(c in step for c in _COLOURS) for step in steps)),
        float(sum(any(m in step for m in _MOVES) for step in steps)),
    )
