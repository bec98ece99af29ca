"""The grid of settings from which the surrogate picks its proposals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nngpt.data.transform_names import spec
from nngpt.prediction.hpo.proposal import HPOTask, Proposal
from nngpt.prediction.hpo.search_space import SearchSpace
from nngpt.prediction.hpo.surrogate import SurrogateFile, score
from nngpt.prediction.hpo.trial_features import row
from nngpt.prediction.runs import TrainingRun
from nngpt.prediction.targets import epoch_count

LEARNING_RATES = tuple(round(float(10.0**exponent), 6) for exponent in np.arange(-4, 0.01, 0.25))
MOMENTA = (0.0, 0.5, 0.9, 0.95)
DROPOUTS = (0.0, 0.2, 0.4)
"""Grids within LEMUR's ranges (docs/design.md)."""

Vector = NDArray[np.float64]


class GridPoint(NamedTuple):
    """One point of the grid; NaN for a hyperparameter that the network does not have."""

    transform: str
    batch: int
    momentum: float
    dropout: float
    lr: float

    def settings(self, defaults: Mapping[str, float]) -> dict[str, float]:
        """Return the defaults, overridden by this point's values."""
        values = {"momentum": self.momentum, "dropout": self.dropout, "lr": self.lr}
        given = {name: value for name, value in values.items() if name in defaults}
        return {**defaults, **given}


def best_of_grid(
    file: SurrogateFile, task: HPOTask, count: int, images: int | None = None
) -> list[Proposal]:
    """Return the `count` points of the grid with the highest scores that differ clearly.

    Each score is averaged with those of the neighbouring learning rates, since a ridge that is one
    step wide is seldom real. Two points differ clearly if their learning rates are a factor of 3
    apart, their batch sizes a factor of 4, or their images differ in size.

    Args:
        images: number of training images; None for the whole data set.

    Raises:
        DataError: the code is not valid Python.
    """
    horizon, model = file.at(task.epochs)
    defaults, notes = task.space.fixed()
    grid = _grid(file, task.space)
    inputs = _inputs(grid, file, task, images)
    scores = score(model.scores, inputs).reshape(-1, len(_rates(task.space)))
    picked = _distinct(grid, _smooth(scores).ravel(), count)
    notes = (*notes, *_notes(file, task, horizon))
    proposals = []
    for number, accuracy in zip(picked, model.accuracies(inputs[picked]), strict=True):
        point = grid[number]
        choice = (point.settings(defaults), point.batch, point.transform)
        proposals.append(Proposal("surrogate", *choice, horizon, accuracy, notes))
    return proposals


def _notes(file: SurrogateFile, task: HPOTask, horizon: int) -> list[str]:
    """Return notes about what the surrogate was not trained on."""
    notes = []
    if str(task.place) not in file.vocabulary.places:
        notes.append(f"the surrogate was not trained on any trial on {task.place}")
    if horizon != task.epochs:
        nearest = "the nearest that the surrogate was trained for"
        notes.append(f"chosen for {epoch_count(horizon)}, {nearest}")
    return notes


def _grid(file: SurrogateFile, space: SearchSpace) -> list[GridPoint]:
    """Return all points; those that differ in learning rate only are adjacent."""
    transforms = [name for name in file.vocabulary.transforms if space.fits(name)] or ["norm"]
    momenta = MOMENTA if "momentum" in space.tunable else (math.nan,)
    dropouts = DROPOUTS if "dropout" in space.tunable else (math.nan,)
    axes = (transforms, space.batches, momenta, dropouts, _rates(space))
    return [GridPoint(*point) for point in itertools.product(*axes)]


def _rates(space: SearchSpace) -> tuple[float, ...]:
    return LEARNING_RATES if "lr" in space.tunable else (math.nan,)


def _inputs(
    grid: list[GridPoint], file: SurrogateFile, task: HPOTask, images: int | None
) -> NDArray[np.float64]:
    """Return the feature row of each point [points, len(NAMES)]."""
    defaults, _ = task.space.fixed()
    codes = {"network": task.code}
    rows = []
    for point in grid:
        values = {**point.settings(defaults), "batch": float(point.batch)}
        run = TrainingRun("network", task.place, values, point.transform)
        rows.append(row(run, codes, file.sources, file.vocabulary, images))
    return np.array(rows)


def _smooth(scores: Vector) -> Vector:
    """Average over neighbouring learning rates [points, rates]; the ends repeat themselves."""
    padded = np.pad(scores, ((0, 0), (1, 1)), mode="edge")
    found: Vector = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return found


def _distinct(grid: list[GridPoint], scores: Vector, count: int) -> list[int]:
    """Return the indices of the best points that differ clearly, the best first."""
    picked: list[int] = []
    for number in np.argsort(-scores, kind="stable").tolist():
        if all(_differ(grid[number], grid[other]) for other in picked):
            picked.append(number)
        if len(picked) == count:
            break
    return picked


def _differ(one: GridPoint, other: GridPoint) -> bool:
    sides = [found.size if (found := spec(p.transform)) else None for p in (one, other)]
    decades = abs(math.log10(one.lr / other.lr)) if one.lr > 0 else 0.0
    doublings = abs(math.log2(one.batch / other.batch))
    return sides[0] != sides[1] or decades >= 0.49 or doublings >= 2
