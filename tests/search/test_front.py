"""The order of networks by several objectives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nngpt.errors import UserError
from nngpt.search.front import checked, crowding, fronts, ranked, sorted_fronts
from nngpt.search.journal import StageRecord

PARAMETERS = ("accuracy", "parameters")


def standing(
    name: str, correct: int, parameters: int, latency_ms: float | None = None, refused: str = ""
) -> tuple[str, StageRecord]:
    costs = {"parameters": parameters, "latency_ms": latency_ms}
    return name, StageRecord(name, name, correct, 100, refused=refused, **costs)  # type: ignore[arg-type]


def names(standings: list[tuple[str, StageRecord]]) -> str:
    return "".join(name for name, _ in standings)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 1)], [[0]]),
        ([(1, 1), (1, 1)], [[0, 1]]),  # equals do not dominate each other
        ([(1, 2), (1, 1)], [[1], [0]]),  # as good in one, better in the other
        ([(0, 9), (9, 0), (5, 5), (6, 6)], [[0, 1, 2], [3]]),
        ([(0, 9), (1, 8), (2, 5), (9, 0)], [[0, 3, 2, 1]]),  # the ends, then the widest gap
        ([(0, 5, 5), (5, 0, 5), (5, 5, 0), (5, 5, 5)], [[0, 1, 2], [3]]),
    ],
)
def test_points_are_sorted_into_fronts(
    points: list[tuple[float, ...]], expected: list[list[int]]
) -> None:
    assert sorted_fronts(np.array(points, float)) == expected


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 1)], [0]),
        ([(1, 3), (3, 1)], [math.inf, math.inf]),
        ([(0, 4), (1, 3), (4, 0)], [math.inf, 2.0, math.inf]),
        (
            [(0, 4, 7), (1, 2, 7), (2, 1, 7), (4, 0, 7)],
            [math.inf, 2 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf],
        ),
    ],
)
def test_crowding_is_the_gap_between_neighbours(
    points: list[tuple[float, ...]], expected: list[float]
) -> None:
    assert crowding(np.array(points, float)).tolist() == pytest.approx(expected)


def test_accuracy_alone_orders_as_ever() -> None:
    field = [standing("b", 80, 9), standing("a", 80, 5), standing("c", 90, 99)]
    field.append(standing("d", 0, 0, refused="it failed"))
    assert names(ranked(field)) == "cab"
    assert [names(front) for front in fronts(field)] == ["c", "a", "b"]


def test_several_objectives_order_by_front_and_gap() -> None:
    field = [
        standing("a", 90, 1_000_000),
        standing("b", 89, 900_000),
        standing("c", 80, 10_000),
        standing("d", 60, 1_000),
        standing("e", 79, 20_000),  # c is more accurate and smaller
        standing("f", 10, 10),  # of no use, though the smallest
        standing("g", 0, 0, refused="it failed"),
    ]
    assert [names(front) for front in fronts(field, PARAMETERS)] == ["adcb", "e", "f"]
    assert names(ranked(field, PARAMETERS)) == "adcbef"
    assert ranked([], PARAMETERS) == []


def test_an_unknown_cost_counts_as_the_largest() -> None:
    field = [standing("a", 90, 10, 5.0), standing("b", 80, 10), standing("c", 70, 10, 1.0)]
    order = fronts(field, ("accuracy", "latency"))
    assert [names(front) for front in order] == ["ac", "b"]
    assert names(ranked([standing("x", 50, 10)], ("accuracy", "macs"))) == "x"


def test_objectives_are_named_once_and_accuracy_is_always_one() -> None:
    assert checked([]) == checked(["accuracy"]) == ("accuracy",)
    assert checked(["macs", "latency", "macs"]) == ("accuracy", "macs", "latency")
    with pytest.raises(UserError, match="unknown objective 'size'"):
        checked(["size"])
