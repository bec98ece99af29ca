"""One-shot prediction: the settings in which a network should be trained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nngpt.data.transform_names import spec
from nngpt.prediction.hpo.choice import Choice, Space
from nngpt.prediction.hpo.defaults import DEFAULT
from nngpt.prediction.hpo.learned import SurrogateFile
from nngpt.prediction.hpo.rows import row
from nngpt.prediction.places import Place
from nngpt.prediction.runs import Run

LEARNING_RATES = tuple(round(float(10.0**exponent), 6) for exponent in np.arange(-4, 0.01, 0.25))
MOMENTA = (0.0, 0.5, 0.9, 0.95)
DROPOUTS = (0.0, 0.2, 0.4)
"""Grids within LEMUR's ranges (DESIGN.md)."""

Vector = NDArray[np.float64]


class Point(NamedTuple):
    """One point of the grid; NaN for what the network does not take."""

    transform: str
    batch: int
    momentum: float
    dropout: float
    lr: float


def by_default(space: Space, epochs: int) -> Choice:
    """The fixed configuration."""
    values, notes = space.fixed()
    batch = min(int(DEFAULT["batch"]), space.max_batch)
    return Choice("default", values, batch, "norm", epochs, None, notes)


def by_surrogate(
    file: SurrogateFile,
    code: str,
    space: Space,
    place: Place,
    epochs: int,
    top: int,
    images: int | None = None,
) -> list[Choice]:
    """The best settings of a grid, `top` of them, each unlike the others.

    A score is averaged with those of the neighbouring learning rates, since a ridge that is one
    step wide is seldom real. Two choices differ in learning rate by a factor of 3, in batch size by
    4, or in the size of the images.

    Args:
        images: how many training images there are, if not those of the whole data set.

    Raises:
        DataError: the code is no Python.
    """
    horizon, stage = file.stage(epochs)
    values, notes = space.fixed()
    if str(place) not in file.words.places:
        notes = (*notes, f"no trial on {place} was learned from")
    if horizon != epochs:
        notes = (*notes, f"chosen for {horizon} epochs, the nearest that was learned from")
    grid = _grid(file, space)
    settings = [_settings(values, point) for point in grid]
    inputs = np.array(
        [
            row(
                Run("it", place, one, point.transform),
                {"it": code},
                file.sources,
                file.words,
                images,
            )
            for one, point in zip(settings, grid, strict=True)
        ]
    )
    scores = _smooth(stage.scores.score(inputs).reshape(-1, len(_rates(space)))).ravel()
    picked = _unlike(grid, scores, top)
    found = stage.expected(inputs[picked])
    ends = zip(found.value.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
    return [
        Choice(
            "surrogate",
            {name: value for name, value in settings[number].items() if name != "batch"},
            grid[number].batch,
            grid[number].transform,
            horizon,
            expected,
            notes,
        )
        for number, expected in zip(picked, ends, strict=True)
    ]


def _grid(file: SurrogateFile, space: Space) -> list[Point]:
    """All that is compared; neighbours in learning rate lie side by side."""
    transforms = [name for name in file.words.transforms if space.fits(name)] or ["norm"]
    momenta = MOMENTA if "momentum" in space.known else (math.nan,)
    dropouts = DROPOUTS if "dropout" in space.known else (math.nan,)
    axes = (transforms, space.batches, momenta, dropouts, _rates(space))
    return [Point(*point) for point in itertools.product(*axes)]


def _rates(space: Space) -> tuple[float, ...]:
    return LEARNING_RATES if "lr" in space.known else (math.nan,)


def _settings(values: Mapping[str, float], point: Point) -> dict[str, float]:
    chosen = {"momentum": point.momentum, "dropout": point.dropout, "lr": point.lr}
    given = {name: value for name, value in chosen.items() if name in values}
    return {**values, **given, "batch": float(point.batch)}


def _smooth(scores: Vector) -> Vector:
    """Averages over neighbouring learning rates [points, rates]; the ends have one neighbour."""
    padded = np.pad(scores, ((0, 0), (1, 1)), mode="edge")
    found: Vector = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return found


def _unlike(grid: list[Point], scores: Vector, top: int) -> list[int]:
    picked: list[int] = []
    for number in np.argsort(-scores, kind="stable").tolist():
        if all(_differ(grid[number], grid[other]) for other in picked):
            picked.append(number)
        if len(picked) == top:
            break
    return picked


def _differ(one: Point, other: Point) -> bool:
    sides = [found.size if (found := spec(p.transform)) else None for p in (one, other)]
    decades = abs(math.log10(one.lr / other.lr)) if one.lr > 0 else 0.0
    doublings = abs(math.log2(one.batch / other.batch))
    return sides[0] != sides[1] or decades >= 0.49 or doublings >= 2
