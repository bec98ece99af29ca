"""What a search was asked for, and what follows from data, time and machine, with reasons."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nngpt.search import llm_settings
from nngpt.search.front import ACCURACY, checked
from nngpt.search.llm_settings import choose_rounds
from nngpt.search.recipe import Recipe

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.data.splits import Splits

_PORTFOLIO, _LLM = 0.10, 0.08
"""Shares of the whole time: first stages of the portfolio, the LLM's writing and first stages."""

FIRST, RUNGS, TUNING = 0.5, 0.22, 0.12
"""Shares of the time that is left: for a run of first stages at most, and after them for halving
the field and for tuning; the rest is the final training.
"""

_TUNING_S, _TRIAL_S, _MOST_TRIALS = 80.0, 30.0, 16
"""Tuning takes place if it has so many seconds; seconds of a trial, and trials at most."""

_PART_S, _FEWEST_PARTS, _MOST_PARTS = 60.0, 3, 8
"""Seconds between checkpoints of the final training, and its number of parts."""

_LEAST_LLM_S = 75.0
_LOADING_S, _DESIGN_S = 30.0, 6.0
_FEWEST_DESIGNS, _MOST_DESIGNS = 3, 12
"""The LLM takes part if it has so many seconds; seconds to load it, to write a network, and number
of networks.
"""

_FIRST_S, _LEAST_STAGE_S = 20.0, 2.0
_FEWEST, _MOST = 4, 24
"""Seconds of a first stage that are worth having, and of any; networks of the portfolio."""

OUT = Path("best")
"""Folder of the result, unless another is given."""

_MIB, _BYTES_PER_PIXEL, _SMALLEST_BATCH = 1 << 20, 5000, 4
"""Memory that a typical network needs to train on an image, for each of its pixels."""

_SIDES = (64, 96, 128, 160, 192, 224)
_PIXEL_S, _EPOCHS = 4e-6, 30
"""Sides of images to choose from: the largest at which a network trains for so many epochs in half
of the time, with so many CPU seconds for each pixel of each image.
"""

VALIDATION = 4000
"""Validation images to choose by: more take time from the training."""

_CROP_SIDE = 24
_FEW_CLASSES_SHOWN = 12


@dataclass(frozen=True)
class Request:
    """A search as the user asked for it.

    Attributes:
        base: configuration of data, limits and machine; its folder keeps the runs and weights.
        data: argument that names the data.
        minutes: time of the whole search.
        out: folder of the result.
        candidates: networks of the portfolio that begin; None for what the time allows.
        designs: networks that the LLM writes, 0 for none; None for what the time allows.
        objectives: what the networks are chosen by (`nngpt.search.front`), accuracy first.
        asked: `base` before the size of images was chosen; None for `base` itself.
    """

    base: Config
    data: str
    minutes: float
    out: Path
    candidates: int | None = None
    designs: int | None = None
    objectives: tuple[str, ...] = (ACCURACY,)
    asked: Config | None = None

    @property
    def folder(self) -> Path:
        """Folder of the search's runs, journal and weights."""
        return self.base.folder

    @property
    def seed(self) -> int:
        """Seed of the search."""
        return self.base.seed

    def identity(self) -> dict[str, object]:
        """Return what must stay the same for a search to resume; its time may change."""
        base = (self.asked or self.base).identity()
        own = llm_settings.own_keys(self.base)
        several = {"objectives": list(self.objectives)} if len(self.objectives) > 1 else {}
        return {
            "data": base["task"],
            "seed": self.seed,
            "evaluation": base["evaluation"],
            "candidates": self.candidates,
            "designs": self.designs,
            **several,
            **({"llm": own} if own else {}),
        }


def make_request(
    base: Config,
    minutes: float,
    out: Path,
    folder: Path | None = None,
    candidates: int | None = None,
    designs: int | None = None,
    objectives: Sequence[str] = (),
) -> Request:
    """Return a request; without a folder, the search keeps its work in runs/search-DATA.

    Args:
        objectives: those beside accuracy, such as "parameters"; latency is measured if it is one.

    Raises: UserError if an objective is unknown.
    """
    chosen = checked(objectives)
    task = base.task
    name = re.sub(r"[^a-z0-9]+", "-", (task.root.name if task.root else task.dataset).lower())
    folder = folder or Path("runs") / f"search-{name.strip('-')[:40] or 'data'}"
    base = base.model_copy(update={"folder": folder})
    if "latency" in chosen:
        evaluation = base.evaluation.model_copy(update={"latency": True})
        base = base.model_copy(update={"evaluation": evaluation})
    return Request(base, task.named, minutes, out, candidates, designs, chosen)


def with_data(request: Request, side: int | None) -> Request:
    """Return the request with square images of a side, None for their own size, and with as many
    validation images as the search needs."""
    base = request.base
    chosen: dict[str, object] = {"image_size": side} if side else {}
    if base.task.validation_limit is None:
        chosen["validation_limit"] = VALIDATION
    task = base.task.model_copy(update=chosen)
    return replace(request, base=base.model_copy(update={"task": task}), asked=base)


@dataclass(frozen=True)
class Plan:
    """The parts of a search and their seconds.

    Attributes:
        candidates: networks of the portfolio that begin.
        designs: networks that the LLM writes; 0 without it.
        rounds: rounds in which it writes them.
        tuned: whether the LLM is tuned before the later rounds.
        first_s: seconds of each network's first stage.
        recipe: how networks train.
        reasons: one line per choice, for the user.
        trials: recipes that the leader tries; 0 for no tuning.
        parts: number of parts of the final training, with a checkpoint each.
        seconds: time of the search when it began.
    """

    candidates: int
    designs: int
    first_s: float
    recipe: Recipe
    reasons: tuple[str, ...]
    rounds: int = 1
    tuned: bool = False
    trials: int = 0
    parts: int = 6
    seconds: float = 3600.0


def make_plan(
    request: Request, splits: Splits, portfolio: int, workers: int, llm_problem: str
) -> Plan:
    """Return the plan of a search.

    Args:
        portfolio: number of networks to choose from.
        workers: number of networks that train at once.
        llm_problem: why the LLM cannot take part, "" if it can.
    """
    seconds, reasons = 60 * request.minutes, list[str]()
    first_total = _PORTFOLIO * seconds * workers
    candidates = max(_FEWEST, min(_MOST, int(first_total / _FIRST_S)))
    candidates = min(portfolio, request.candidates or candidates)
    first_s = max(_LEAST_STAGE_S, first_total / candidates)
    llm_s = _LLM * seconds
    if not llm_problem and request.designs is None and llm_s < _LEAST_LLM_S:
        llm_problem = f"it would have {llm_s:.0f} s and needs {_LEAST_LLM_S:.0f}"
    designs = int((llm_s - _LOADING_S) / (first_s / workers + _DESIGN_S))
    designs = min(_MOST_DESIGNS, max(_FEWEST_DESIGNS, designs))
    designs = 0 if llm_problem else designs if request.designs is None else request.designs
    rounds, tuned, why = 0, False, f"LLM: takes no part, {llm_problem}"
    if designs:
        rounds, tuned, why = choose_rounds(request.base, llm_s, designs)
    reasons.append(why)
    recipe = choose_recipe(splits, request.base.evaluation.memory_mb)
    after = seconds * (1 - _PORTFOLIO - (_LLM if designs else 0.0))
    trials = min(_MOST_TRIALS, int(TUNING * after * workers / _TRIAL_S))
    trials = trials if TUNING * after >= _TUNING_S else 0
    final_s = after * (1 - RUNGS - (TUNING if trials else 0.0))
    reasons += [
        f"First rung: {candidates} networks of the portfolio"
        + (f" and {designs} of the LLM" if designs else "")
        + f", one epoch or {first_s:.0f} s each, {workers} at once",
        f"Then about {RUNGS * after:.0f} s: halving the field; "
        + (f"{TUNING * after:.0f} s: {trials} recipes for the leader; " if trials else "")
        + f"{final_s:.0f} s: its final training, the test, and its files",
        f"Recipe: {recipe.note}",
    ]
    if not trials:
        reasons.append(f"Tuning: none, it would have less than {_TUNING_S:.0f} s")
    return Plan(
        candidates=candidates,
        designs=designs,
        rounds=rounds,
        tuned=tuned,
        first_s=first_s,
        recipe=recipe,
        reasons=tuple(reasons),
        trials=trials,
        parts=max(_FEWEST_PARTS, min(_MOST_PARTS, int(final_s / _PART_S))),
        seconds=seconds,
    )


def writing_s(request: Request, left: float) -> float:
    """Return the seconds of the LLM's part at most: twice its share, but all if the user set it."""
    most = FIRST * left
    return most if request.designs is not None else min(most, 2 * _LLM * 60 * request.minutes)


def choose_recipe(splits: Splits, memory_mb: int) -> Recipe:
    """Return the recipe to begin with: batch by the number of images and by memory, transform by
    the kind of images.

    Colour images may be mirrored; grey ones are often characters, which may not.
    """
    channels, height, width = splits.shape
    batch = 64 if splits.train.count >= 2000 else 16 if splits.train.count < 500 else 32
    fits = int(memory_mb * _MIB / 2 / (height * width * _BYTES_PER_PIXEL))
    while batch > max(_SMALLEST_BATCH, fits):
        batch //= 2
    transform = "norm"
    transform += "-crop" if min(height, width) >= _CROP_SIDE else ""
    transform += "-flip" if channels == 3 else ""
    return Recipe(batch=batch, transform=transform)


def choose_side(own: tuple[int, int], images: int, minutes: float, cores: int) -> int | None:
    """Return the side in pixels to which large images are resized, by time; None for their own.

    Args:
        own: (height, width) that suits the images.
        images: number of training images.
        cores: CPU cores that train.
    """
    if max(own) <= _SIDES[0]:
        return None
    seconds = 60 * minutes * cores / 2
    fits = [s for s in _SIDES if s <= max(own) and images * _EPOCHS * _PIXEL_S * s * s <= seconds]
    return max(fits, default=_SIDES[0])


def understood(splits: Splits, device: str) -> list[str]:
    """Return what nngpt understood of the data and the machine, in lines."""
    channels, height, width = splits.shape
    labels = splits.train.open_labels()
    counts = np.bincount(labels, minlength=splits.classes)
    names = splits.class_names or tuple(map(str, range(splits.classes)))
    shown = [f"{name} {count:,}" for name, count in zip(names, counts, strict=True)]
    if len(shown) > _FEW_CLASSES_SHOWN:
        shown = [*shown[:_FEW_CLASSES_SHOWN], f"… {len(shown) - _FEW_CLASSES_SHOWN} more"]
    colour = "colour" if channels == 3 else "grey"
    return [
        f"Data: {splits.name}, {colour} images of {height}×{width}, {splits.classes} classes",
        f"  {splits.train.count:,} to train on, {splits.validation.count:,} to choose by, "
        f"{splits.test.count:,} to test once",
        f"  {', '.join(shown)}",
        f"Metric: accuracy. Machine: {device}, {len(os.sched_getaffinity(0))} cores",
    ]
