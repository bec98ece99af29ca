"""Intervals against values known from elsewhere."""

from __future__ import annotations

import pytest

from nngpt.reporting.intervals import (
    accuracy_of,
    mean_half_width,
    mean_of,
    percent_of,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe (1998), table I, method 3 (Wilson without continuity correction).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(successes: int, total: int, low: float, high: float) -> None:
    assert wilson(successes, total) == pytest.approx((low, high), abs=6e-5)


def test_wilson_at_the_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == 1.0 and wilson(0, 5)[0] == 0.0


def test_t_interval() -> None:
    mean, half = mean_half_width([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / 3**0.5, rel=1e-5))
    assert mean_half_width([0.5]) == (0.5, None)


def test_words() -> None:
    assert percent_of(7, 12) == "7/12 = 58% [32–81]"
    assert percent_of(0, 0) == "0/0"
    assert mean_of([]) == "–" and mean_of([0.5]) == "50.0%"
    assert accuracy_of(0.9, 1000) == "90.0% ±1.9"
    assert accuracy_of(0.9) == "90.0%"
