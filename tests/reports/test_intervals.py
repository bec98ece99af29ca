"""Intervals against values known from elsewhere."""

from __future__ import annotations

import pytest

from nngpt.statistics import (
    accuracy_of,
    mean_half_width,
    mean_of,
    newcombe,
    percent_of,
    welch,
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


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    # Newcombe (1998), "Interval estimation for the difference", table II, method 10.
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_newcombe(one: tuple[int, int], other: tuple[int, int], low: float, high: float) -> None:
    difference, *ends = newcombe(one, other)
    assert difference == pytest.approx(one[0] / one[1] - other[0] / other[1])
    assert ends == pytest.approx([low, high], abs=6e-5)


def test_welch_with_equal_spread_is_student() -> None:
    # Four degrees of freedom: t = 2.776445; the error of the difference is sqrt(1/3 + 1/3).
    difference, interval = welch([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    half = 2.776445 * (2 / 3) ** 0.5
    assert difference == -1.0 and interval == pytest.approx((-1 - half, -1 + half), rel=1e-5)


def test_welch_is_scipy_s() -> None:
    from scipy.stats import ttest_ind

    one, other = [0.31, 0.42, 0.55, 0.61], [0.1, 0.12, 0.4, 0.11, 0.3, 0.2]
    low, high = ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert welch(one, other)[1] == pytest.approx((low, high))


def test_welch_at_the_edges() -> None:
    assert welch([0.5], [0.1, 0.1]) == (0.4, None)
    assert welch([0.5, 0.5], [0.25, 0.25]) == (0.25, (0.25, 0.25))
    # Chance for all on one side: only the other side's spread counts, with its own freedom.
    _, interval = welch([0.4, 0.6], [0.1] * 50)
    assert interval is not None and interval[1] - interval[0] == pytest.approx(
        2 * 12.7062 * 0.1, rel=1e-4
    )
