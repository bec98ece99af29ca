"""Feature rows of the predictor: a run's settings, transform and code, and its first epochs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from nngpt.prediction import code_features
from nngpt.prediction.places import Facts, dataset_facts
from nngpt.prediction.runs import TrainingRun

OTHERS = ("weight_decay", "attention_dropout", "stochastic_depth_prob", "norm_eps", "norm_momentum")
"""The most frequent hyperparameters that only some networks have."""

_RESIZE = re.compile(r"Resize\(\s*(?:size\s*=\s*)?[(\[]?\s*(\d+)")
_CROP = re.compile(
    r"(?:RandomCrop|CenterCrop|RandomResizedCrop)\(\s*(?:size\s*=\s*)?[(\[]?\s*(\d+)"
)
_STEP = re.compile(r"\b([A-Z]\w+)\(")
_NOT_STEPS = frozenset({"Compose", "ToTensor", "Normalize", "Resize", "PILToTensor"})
_COLOURS = ("Color", "Contrast", "Sharpness", "Posterize", "Solarize", "Equalize", "Gray", "Invert")
_MOVES = ("Rotation", "Affine", "Perspective", "Elastic")

PLACE = ("chance", "classes", "images", "channels", "side", "log_steps")
SETTINGS = (
    *("log_lr", "momentum", "dropout", "log_batch", "effective_lr", "hyperparameters"),
    *OTHERS,
)
TRANSFORM: tuple[str, ...] = (
    *("transform_size", "transform_crop", "transform_steps", "transform_flips"),
    *("transform_normalised", "transform_erased", "transform_colours", "transform_moves"),
)
STATIC: tuple[str, ...] = (*PLACE, *SETTINGS, *TRANSFORM, *code_features.NAMES)
CODE = slice(len(STATIC) - len(code_features.NAMES), len(STATIC))
"""Positions of the code's features in a row of `static`."""


def static(
    run: TrainingRun,
    codes: Mapping[str, str],
    sources: Mapping[str, str],
    known: Facts | None = None,
) -> list[float]:
    """Return a run's features known before training, in the order of `STATIC`.

    Args:
        codes: source of each network, by name; the run's own may be missing, as in `sources`.
        sources: source of each transform, by name.
        known: facts about the run's data set; None to look them up by its name.

    Raises: DataError if the network's code is not valid Python.
    """
    known = known or dataset_facts(run.place.dataset)
    batch, code = _number(run.hyperparameters.get("batch")), codes.get(run.network)
    steps = math.log10(known.images / batch) if batch > 0 else math.nan
    return [
        *(known.chance, known.classes, known.images, known.channels, known.side, steps),
        *_settings(run.hyperparameters),
        *transform_features(sources.get(run.transform) if run.transform else None),
        *([math.nan] * len(code_features.NAMES) if code is None else code_features.features(code)),
    ]


@lru_cache(maxsize=4096)
def transform_features(source: str | None) -> tuple[float, ...]:
    """Return the predictor's features of an image transform, in the order of `TRANSFORM`.

    They are: side of the image and of the last crop in pixels, number of steps other than resizing
    and normalising, number of flips, whether images are normalised, whether parts are erased,
    number of colour changes, number of movements. All are NaN without a source.
    """
    if source is None:
        return (math.nan,) * len(TRANSFORM)
    resized, cropped = _RESIZE.findall(source), _CROP.findall(source)
    steps = [name for name in _STEP.findall(source) if name not in _NOT_STEPS]
    return (
        float(resized[-1]) if resized else math.nan,
        float(cropped[-1]) if cropped else math.nan,
        float(len(steps)),
        float(sum("Flip" in step for step in steps)),
        float("Normalize" in source),
        float("Erasing" in source),
        float(sum(any(c in step for c in _COLOURS) for step in steps)),
        float(sum(any(m in step for m in _MOVES) for step in steps)),
    )


def early(accuracies: Sequence[float], chance: float, epochs: int) -> list[float]:
    """Return features of a run's first epochs: accuracies, gains, best, slope, and the like.

    Args:
        accuracies: accuracy after each epoch, at least `epochs` of them, 0…1; NaN if missing.
        chance: accuracy of guessing, 0…1; NaN counts as 0.
        epochs: number of epochs to use.
    """
    if not epochs:
        return []
    seen = np.array(accuracies[:epochs], dtype=float)
    chance = 0.0 if math.isnan(chance) else chance
    gains = np.diff(seen)
    best = float(np.nanmax(seen))
    slope = math.nan
    if epochs > 1 and np.isfinite(seen).all():
        slope = float(np.polyfit(np.log(np.arange(1, epochs + 1)), seen, 1)[0])
    finite = gains[np.isfinite(gains)]
    unsteady = float(finite.std()) if len(finite) > 1 else math.nan
    stuck = float((gains == 0).sum())
    at_chance = float((np.abs(seen - chance) < 1e-4).sum())
    each = np.stack([seen, (seen - chance) / (1 - chance)], axis=1).ravel()
    whole = [best, 1 - best, best - float(seen[-1]), slope, unsteady, stuck, at_chance]
    return [*each, *gains, *whole]


def _settings(given: Mapping[str, int | float | str]) -> list[float]:
    names = ("lr", "momentum", "dropout", "batch", *OTHERS)
    lr, momentum, dropout, batch, *others = (_number(given.get(name)) for name in names)
    effective = lr / max(1e-3, 1 - (0 if math.isnan(momentum) else momentum))
    log_batch = _log(batch)
    effective_log = _log(effective) - (0 if math.isnan(log_batch) else log_batch)
    return [_log(lr), momentum, dropout, log_batch, effective_log, float(len(given)), *others]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _log(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan
