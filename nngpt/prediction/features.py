"""From a run and its first epochs to the row of numbers that the predictor sees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nngpt.prediction import code, transforms
from nngpt.prediction.places import facts
from nngpt.prediction.runs import Run

EARLY = ("early_{}", "above_chance_{}", "gain_{}")
PLACE: tuple[str, ...] = ("chance", "classes", "images", "channels", "side", "log_steps")
SETTINGS: tuple[str, ...] = (
    "log_lr momentum dropout log_batch effective_lr weight_decay_set hyperparameters"
).split()  # type: ignore[assignment]
STATIC = (*PLACE, *SETTINGS, *transforms.NAMES, *code.NAMES)

Row = NDArray[np.float64]


def static(run: Run, codes: Mapping[str, str], sources: Mapping[str, str]) -> list[float]:
    """What is known before training, in the order of `STATIC`."""
    source = sources.get(run.transform) if run.transform else None
    found = code.features(codes[run.network]) if run.network in codes else ()
    return [
        *_place(run),
        *_settings(run.hyperparameters),
        *transforms.features(source),
        *(found or [math.nan] * len(code.NAMES)),
    ]


def early_names(epochs: int) -> tuple[str, ...]:
    """Names of what `early` gives."""
    each = [f"{name}_{e}" for e in range(1, epochs + 1) for name in ("accuracy", "above_chance")]
    gains = [f"gain_{e}" for e in range(2, epochs + 1)]
    whole = ("best", "room", "last_to_best", "slope", "unsteady") if epochs else ()
    return (*each, *gains, *whole)


def early(accuracies: Sequence[float], chance: float, epochs: int) -> list[float]:
    """The first epochs' accuracies, what they gained, and where they stand.

    Args:
        accuracies: at least `epochs` of them, 0…1; NaN where one is missing.
        chance: accuracy of guessing; NaN counts as 0.
        epochs: how many are looked at.
    """
    if not epochs:
        return []
    seen = np.array(accuracies[:epochs], dtype=float)
    chance = 0.0 if math.isnan(chance) else chance
    above = (seen - chance) / (1 - chance)
    gains = np.diff(seen)
    best = float(np.nanmax(seen))
    slope = (
        float(np.polyfit(np.log(np.arange(1, epochs + 1)), seen, 1)[0])
        if (epochs > 1 and np.isfinite(seen).all())
        else math.nan
    )
    unsteady = float(np.nanstd(gains)) if epochs > 2 else math.nan
    each = np.stack([seen, above], axis=1).ravel()
    return [*each, *gains, best, 1 - best, best - float(seen[-1]), slope, unsteady]


def _place(run: Run) -> list[float]:
    known = facts(run.place.dataset)
    batch = _number(run.hyperparameters.get("batch"))
    steps = math.log10(known.images / batch) if batch > 0 else math.nan
    return [known.chance, known.classes, known.images, known.channels, known.side, steps]


def _settings(given: Mapping[str, int | float | str]) -> list[float]:
    lr, momentum = _number(given.get("lr")), _number(given.get("momentum"))
    batch = _number(given.get("batch"))
    effective = lr / max(1e-3, 1 - (0 if math.isnan(momentum) else momentum))
    return [
        _log(lr),
        momentum,
        _number(given.get("dropout")),
        _log(batch),
        _log(effective) - (0 if math.isnan(_log(batch)) else _log(batch)),
        _number(given.get("weight_decay")),
        float(len(given)),
    ]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _log(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan
