"""Which networks of a search are stopped early."""

from __future__ import annotations

import math

import pytest

from nngpt.search.early_stopping import Slopes
from nngpt.search.journal import StageRecord
from nngpt.search.portfolio import read_portfolio

SLOPES = Slopes(steep=-0.5, flat=-0.1)


def record(accuracy: float, total: int = 4000) -> StageRecord:
    return StageRecord("first-it", "it", correct=round(accuracy * total), total=total)


@pytest.mark.parametrize(
    ("accuracy", "leader", "times", "total", "may_win"),
    [
        (0.6, 0.6, 1.0, 4000, True),
        (0.5, 0.6, 1.0, 4000, False),
        (0.5, 0.6, 4.0, 4000, True),  # 0.5 / 4 ** 0.5 is below 0.4 / 4 ** 0.1
        (0.2, 0.8, 4.0, 4000, False),
        (0.2, 0.8, 64.0, 4000, True),
        (0.5, 0.6, 1.0, 40, True),  # so few images tell little
        (1.0, 1.0, 10.0, 40, True),
    ],
)
def test_a_network_trains_on_if_it_may_overtake_the_leader(
    accuracy: float, leader: float, times: float, total: int, may_win: bool
) -> None:
    assert SLOPES.may_win(record(accuracy, total), record(leader, total), times) is may_win


def test_the_portfolio_s_curves_give_the_slopes() -> None:
    slopes = Slopes.of(read_portfolio())
    assert -1.5 < slopes.steep < slopes.flat <= 0.0
    assert math.isfinite(slopes.steep)
