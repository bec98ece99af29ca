"""The plan of a search: what follows from its data, time and machine, with reasons."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nngpt.search.llm_settings import choose_rounds, rounds_within
from nngpt.search.portfolio import TRAINED
from nngpt.search.recipe import SMALL, Recipe
from nngpt.search.request import Request

if TYPE_CHECKING:
    from nngpt.data.splits import Splits
    from nngpt.sandbox.executors.local import LocalExecutor

_PORTFOLIO, _LLM = 0.10, 0.08
"""Shares of the whole time: first stages of the portfolio, the LLM's writing and first stages."""

FIRST, RUNGS, TUNING = 0.5, 0.22, 0.12
"""Shares of the time that is left: for a run of first stages at most, and after them for halving
the field and for tuning; the rest is the final training.
"""

_SHORT_MIN = 10.0
"""Minutes of a search up to which the first stages and the halving have their whole shares.

In longer ones their seconds grow with the square root of the time: the order of networks is known
by then, while a final training gets better to the end.
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

_MIB, _BYTES_PER_PIXEL, _SMALLEST_BATCH = 1 << 20, 5000, 4
"""Memory that a typical network needs to train on an image, for each of its pixels."""

_SIDES = (64, 96, 128, 160, 192, 224)
_PIXEL_S, _EPOCHS = 4e-6, 30
"""Sides of images to choose from: the largest at which a network trains for so many epochs in half
of the time, with so many CPU seconds for each pixel of each image.
"""

CORES_OF_A_GPU = 100
"""Number of CPU cores that train as fast as a GPU, roughly."""

_CROP_SIDE = 24
_FEW_CLASSES_SHOWN = 12


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
        rungs: share of the time left after the first stages, for halving the field.
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
    rungs: float = RUNGS


def make_plan(
    request: Request, splits: Splits, portfolio: int, workers: int, llm_problem: str
) -> Plan:
    """Return the plan of a search.

    Args:
        portfolio: number of networks to choose from.
        workers: number of networks that train at once.
        llm_problem: why the LLM cannot take part, "" if it can.
    """
    seconds = 60 * request.minutes
    choosing = min(1.0, math.sqrt(_SHORT_MIN / request.minutes))
    portfolio_share, rungs = choosing * _PORTFOLIO, choosing * RUNGS
    first_total = portfolio_share * seconds * workers
    usual = max(_FEWEST, min(_MOST, int(first_total / _FIRST_S)))
    candidates = min(portfolio, request.candidates or usual)
    first_s = max(_LEAST_STAGE_S, first_total / candidates)
    designs, rounds, tuned, llm = _llm_part(request, first_s / workers, llm_problem)
    recipe = choose_recipe(splits, request.base.evaluation.memory_mb)
    after = seconds * (1 - portfolio_share - (_LLM if designs else 0.0))
    tuning_s = TUNING * after if TUNING * after >= _TUNING_S else 0.0
    trials = min(_MOST_TRIALS, int(tuning_s * workers / _TRIAL_S))
    final_s = (1 - rungs) * after - tuning_s
    by_llm = f" and {designs} of the LLM" if designs else ""
    tuning = f"{tuning_s:.0f} s: {trials} recipes for the leader, except quick; " if trials else ""
    reasons = [
        llm,
        f"First rung: {candidates} networks of the portfolio by their learning curves{by_llm}, "
        f"one epoch or {first_s:.0f} s each, {workers} at once",
        f"Then about {rungs * after:.0f} s: halving the field; {tuning}"
        f"{final_s:.0f} s: its final training, the test, and its files",
        f"Recipe: {recipe.note} (quick: sgd at a rate of its own)",
        *([] if trials else [f"Tuning: none, it would have less than {_TUNING_S:.0f} s"]),
    ]
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
        rungs=rungs,
    )


def _llm_part(request: Request, train_s: float, problem: str) -> tuple[int, int, bool, str]:
    """Return how many networks the LLM writes, in how many rounds, whether it learns, and why.

    Args:
        train_s: seconds of the search that a network's first stage takes.
        problem: why it cannot take part, "" if it can.
    """
    seconds, asked = _LLM * 60 * request.minutes, request.designs
    if not problem and asked is None and seconds < _LEAST_LLM_S:
        problem = f"it would have {seconds:.0f} s and needs {_LEAST_LLM_S:.0f}"
    if problem:
        return 0, 0, False, f"LLM: takes no part, {problem}"
    fit = int((seconds - _LOADING_S) / (train_s + _DESIGN_S))
    usual = min(_MOST_DESIGNS, max(_FEWEST_DESIGNS, fit))
    if "per_cycle" in request.base.candidates.model_fields_set:
        usual = request.base.candidates.per_cycle * rounds_within(request.base, seconds)
    designs = usual if asked is None else asked
    return designs, *choose_rounds(request.base, seconds, designs)


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
    large = min(height, width) >= _CROP_SIDE
    transform += "-crop" if large else ""
    transform += "-flip" if channels == 3 else ""
    return Recipe(batch=batch, transform=transform, small=SMALL if large else 0.0)


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


def final_threads(request: Request, executor: LocalExecutor) -> int:
    """Return the threads of the final training: all that the workers had together."""
    own = request.base.evaluation.threads
    return executor.workers * own if executor.device == "cpu" else 1


def training_s(request: Request, splits: Splits, executor: LocalExecutor) -> tuple[float, int]:
    """Return for how many CPU seconds the result will train in all, and the pixels of an image."""
    on_cpu = executor.device == "cpu"
    cores = final_threads(request, executor) if on_cpu else CORES_OF_A_GPU
    return 60 * request.minutes * TRAINED * cores, math.prod(splits.shape[1:])


def understood(data: str, splits: Splits, device: str) -> list[str]:
    """Return what nngpt understood of the data, named so, and the machine, in lines."""
    channels, height, width = splits.shape
    labels = splits.train.open_labels()
    counts = np.bincount(labels, minlength=splits.classes)
    names = splits.class_names or tuple(map(str, range(splits.classes)))
    shown = [f"{name} {count:,}" for name, count in zip(names, counts, strict=True)]
    if len(shown) > _FEW_CLASSES_SHOWN:
        shown = [*shown[:_FEW_CLASSES_SHOWN], f"… {len(shown) - _FEW_CLASSES_SHOWN} more"]
    colour = "colour" if channels == 3 else "grey"
    return [
        f"Data: {data}, {colour} images of {height}×{width}, {splits.classes} classes",
        f"  {splits.train.count:,} to train on, {splits.validation.count:,} to choose by, "
        f"{splits.test.count:,} to test once",
        f"  {', '.join(shown)}",
        f"Metric: accuracy. Machine: {device}, {len(os.sched_getaffinity(0))} cores",
    ]
