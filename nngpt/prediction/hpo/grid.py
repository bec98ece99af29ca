"""The grid of settings from which the surrogate picks its proposals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nngpt.data.transform_names import dashed, spec
from nngpt.prediction.arrays import Matrix, Vector
from nngpt.prediction.hpo.proposal import HPOTask, Interval, Proposal
from nngpt.prediction.hpo.surrogate import SurrogateFile, score
from nngpt.prediction.hpo.trial_features import OF_TRANSFORM, row
from nngpt.prediction.predictor import WIDEST
from nngpt.prediction.runs import TrainingRun
from nngpt.prediction.targets import epoch_count

_VALUES: Mapping[str, tuple[float, ...]] = {
    "momentum": (0.0, 0.5, 0.9, 0.95),
    "dropout": (0.0, 0.2, 0.4),
    "lr": tuple(round(float(10.0**exponent), 6) for exponent in np.arange(-4, 0.01, 0.25)),
}
"""Values within LEMUR's ranges (docs/design.md); the learning rate comes last, for `_smooth`."""


def best_of_grid(file: SurrogateFile, task: HPOTask, count: int) -> list[Proposal]:
    """Return the `count` best-scored settings of the surrogate's grid that differ clearly.

    They have no expected accuracy if the surrogate was not trained on the place, or cannot say.
    Each score is averaged with those of the neighbouring learning rates, since a ridge that is one
    step wide is seldom real. Two points differ clearly if their learning rates are a factor of 3
    apart, their batch sizes a factor of 4, or their images differ in size.

    Raises: DataError if the code is not valid Python.
    """
    horizon, model = file.at(task.epochs)
    grid = _grid(file, task, horizon)
    inputs = _inputs(grid, file, task)
    rates = len(_VALUES["lr"]) if "lr" in task.space.tunable else 1
    scores = _smooth(score(model.scores, inputs).reshape(-1, rates)).ravel()
    picked = _distinct(grid, scores, count)
    known = str(task.place) in file.vocabulary.places
    expected = model.accuracies(inputs[picked]) if known else [None] * len(picked)
    return [_proposal(grid[n], one, file) for n, one in zip(picked, expected, strict=True)]


def _proposal(point: Proposal, expected: Interval | None, file: SurrogateFile) -> Proposal:
    """Return a point of the grid with its expected accuracy, unless that could be anything."""
    notes = point.notes
    if expected is not None and expected[2] - expected[1] >= WIDEST:
        expected, notes = None, (*notes, "the surrogate cannot say which accuracy to expect")
    transform, model = dashed(point.transform), file.origin
    return replace(point, transform=transform, accuracy=expected, model=model, notes=notes)


def _grid(file: SurrogateFile, task: HPOTask, horizon: int) -> list[Proposal]:
    """Return all points; those that differ in learning rate only are adjacent."""
    defaults, notes = task.space.fixed()
    if str(task.place) not in file.vocabulary.places:
        none = "it cannot say which accuracy to expect"
        notes += (f"the surrogate was not trained on any trial on {task.place}: {none}",)
    if horizon != task.epochs:
        nearest = "the nearest that the surrogate was trained for"
        notes += (f"chosen for {epoch_count(horizon)}, {nearest}",)
    transforms = [name for name in file.vocabulary.transforms if task.space.fits(name)] or ["norm"]
    values = {name: known for name, known in _VALUES.items() if name in task.space.tunable}
    choices = itertools.product(*values.values())
    settings = [defaults | dict(zip(values, chosen, strict=True)) for chosen in choices]
    return [
        Proposal("surrogate", chosen, batch, transform, horizon, notes=notes)
        for transform, batch in itertools.product(transforms, task.space.batches)
        for chosen in settings
    ]


def _inputs(grid: Sequence[Proposal], file: SurrogateFile, task: HPOTask) -> Matrix:
    """Return the feature row of each point [points, len(NAMES)].

    A row's columns depend on the transform or on the other settings: neither part is made twice.
    """
    codes = {"network": task.code}

    def rows(points: Sequence[Proposal]) -> Matrix:
        found = []
        for point in points:
            values = {**point.hyperparameters, "batch": float(point.batch)}
            run = TrainingRun("network", task.place, values, point.transform)
            known = (codes, file.sources, file.vocabulary, task.images, task.facts)
            found.append(row(run, *known))
        return np.array(found)

    transforms = len(dict.fromkeys(point.transform for point in grid))
    each = len(grid) // transforms  # points that differ in transform only are `each` apart
    inputs = np.tile(rows(grid[:each]), (transforms, 1))
    inputs[:, OF_TRANSFORM] = np.repeat(rows(grid[::each])[:, OF_TRANSFORM], each, axis=0)
    return inputs


def _smooth(scores: Matrix) -> Matrix:
    """Average over neighbouring learning rates [points, rates]; the ends repeat themselves."""
    padded = np.pad(scores, ((0, 0), (1, 1)), mode="edge")
    found: Matrix = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return found


def _distinct(grid: Sequence[Proposal], scores: Vector, count: int) -> list[int]:
    """Return the indices of the best points that differ clearly, the best first."""
    picked: list[int] = []
    for number in np.argsort(-scores, kind="stable").tolist():
        if all(_differ(grid[number], grid[other]) for other in picked):
            picked.append(number)
        if len(picked) == count:
            break
    return picked


def _differ(one: Proposal, other: Proposal) -> bool:
    sides = [found.size if (found := spec(p.transform)) else None for p in (one, other)]
    rates = [p.hyperparameters.get("lr", 1.0) for p in (one, other)]
    decades = abs(math.log10(rates[0] / rates[1]))
    doublings = abs(math.log2(one.batch / other.batch))
    return sides[0] != sides[1] or decades >= 0.49 or doublings >= 2
