"""The front of several objectives: which networks are accurate for what they cost, in what order.

Ranks and crowding distances are those of NSGA-II: K. Deb, A. Pratap, S. Agarwal and T. Meyarivan,
A fast and elitist multiobjective genetic algorithm, IEEE Transactions on Evolutionary Computation
6 (2), 2002. Costs count by their logarithm, as far as the distances go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nngpt.errors import UserError
from nngpt.generation.prompts.parents import USEFUL
from nngpt.search.journal import StageRecord

ACCURACY = "accuracy"

COSTS: Mapping[str, Callable[[StageRecord], float | None]] = {
    "parameters": lambda record: record.parameters,
    "latency": lambda record: record.latency_ms,
    "macs": lambda record: record.macs,
}
"""What an objective beside accuracy makes small, by its name; None if it is unknown."""

FINALISTS = 3
"""Networks of the front that train to the end, at most."""

T = TypeVar("T")


def checked(objectives: Iterable[str]) -> tuple[str, ...]:
    """Return objectives once each, accuracy first. Raises: UserError if one is unknown."""
    for name in (found := tuple(dict.fromkeys((ACCURACY, *objectives)))):
        if name not in (ACCURACY, *COSTS):
            hint = f"Choose from: {', '.join((ACCURACY, *COSTS))}"
            raise UserError(f"unknown objective {name!r}", where="--objective", hint=hint)
    return found


def ranked(
    standings: Sequence[tuple[T, StageRecord]], objectives: Sequence[str] = (ACCURACY,)
) -> list[tuple[T, StageRecord]]:
    """Return those that trained, the best first: front by front, each as `fronts` orders it."""
    return [one for front in fronts(standings, objectives) for one in front]


def fronts(
    standings: Sequence[tuple[T, StageRecord]], objectives: Sequence[str] = (ACCURACY,)
) -> list[list[tuple[T, StageRecord]]]:
    """Return the fronts of those that trained, each with the most accurate network first.

    Of the first front, no network is matched in everything and beaten in something by another one;
    the second is that of the rest, and so on. Within a front, the cheapest networks follow, then
    those in the widest gaps. For accuracy alone every network is a front of its own, of equals the
    smaller first.
    """
    trained = [one for one in standings if not one[1].refused]
    trained.sort(key=lambda one: (-one[1].accuracy, one[1].parameters, one[1].network))
    if len(objectives) == 1 or not trained:
        return [[one] for one in trained]
    least = USEFUL * trained[0][1].accuracy
    able = [one for one in trained if one[1].accuracy >= least]
    points = _points([record for _, record in able], objectives)
    groups = [[able[n] for n in front] for front in sorted_fronts(points)]
    return groups + [[one] for one in trained[len(able) :]]


def sorted_fronts(points: npt.NDArray[np.float64]) -> list[list[int]]:
    """Return the fronts of points [n, objectives], of which smaller is better, as indices.

    In a front, points come by crowding distance, the most distant first, then in their own order.
    """
    as_good = np.all(points[:, None] <= points[None], axis=-1)
    dominates = as_good & ~as_good.T
    left, found = np.arange(len(points)), []
    while len(left):
        beaten = dominates[np.ix_(left, left)].any(0)
        front, left = left[~beaten], left[beaten]
        distances = crowding(points[front])
        found.append([int(front[n]) for n in np.argsort(-distances, kind="stable")])
    return found


def crowding(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the crowding distance of each point of a front [n, objectives].

    It is the sum over the objectives of the gap between a point's neighbours, as a share of the
    front's width; infinite for the ends.
    """
    distances = np.zeros(len(points))
    for values in points.T:
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        width = ascending[-1] - ascending[0]
        if width > 0:
            distances[order[1:-1]] += (ascending[2:] - ascending[:-2]) / width
            distances[order[[0, -1]]] = np.inf
    return distances


def _points(records: Sequence[StageRecord], objectives: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return what the objectives make small [n, objectives]; unknown costs count as the largest."""
    columns = [[-record.accuracy for record in records]]
    for name in objectives:
        if name != ACCURACY:
            costs = [COSTS[name](record) for record in records]
            largest = max((cost for cost in costs if cost), default=1.0)
            columns.append([np.log(cost or largest) for cost in costs])
    return np.array(columns, np.float64).T
