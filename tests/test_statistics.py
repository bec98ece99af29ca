"""Intervals, estimates and trends against published tables and values worked out by hand."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest

from nngpt import statistics
from nngpt.reports.text import accuracy as text_of
from nngpt.reports.text import accuracy_of, mean_of
from nngpt.statistics import (
    Difference,
    Estimate,
    accuracy,
    anytime_difference,
    mean,
    mean_difference,
    mean_half_width,
    median,
    newcombe,
    percent_of,
    share,
    share_difference,
    sign_of,
    slope_of,
    trend,
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


def test_an_accuracy_of_several_trainings_varies_with_the_seed() -> None:
    values = (0.41, 0.47, 0.51, 0.55)
    found = accuracy(0.485, 2000, values)
    (middle, half), ends = mean_half_width(values), wilson(970, 2000)
    assert found.interval is not None and half is not None and middle == 0.485
    low, high = found.interval
    assert middle - low == pytest.approx(math.hypot(half, middle - ends[0]))
    assert middle - low > half > 0.09
    assert high - middle == pytest.approx(math.hypot(half, ends[1] - middle))
    assert accuracy_of(0.485, 2000, values) == "48.5% ±9.8"
    equal = accuracy(0.5, 100, (0.5,) * 4)
    assert equal.interval == wilson(50, 100)
    assert accuracy(0.99, 50, (0.97, 1, 1, 0.99)).high == 1


def test_two_trainings_are_shown_without_an_interval() -> None:
    values = (0.41, 0.55)
    found = accuracy(0.48, 2000, values)
    assert found.interval is None and found.values == values
    each = ", ".join(f"{value:.1%}"[:-1] for value in values)
    assert accuracy_of(0.48, 2000, values) == text_of(found) == f"48.0% ({each})"


def test_t_interval() -> None:
    mean, half = mean_half_width([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / 3**0.5, rel=1e-5))
    assert mean_half_width([0.5]) == (0.5, None)


def test_intervals_of_means_stay_within_what_is_possible() -> None:
    found = mean((0.99, 0.98, 0.42))
    middle, half = mean_half_width((0.99, 0.98, 0.42))
    assert found is not None and half is not None and middle + half > 1
    assert found.interval == (max(0, middle - half), 1)
    assert mean_of((0.99, 0.98, 0.42)).endswith("–100.0]")
    assert accuracy_of(1.0, 54) == "100.0% [93.4–100.0]" and accuracy_of(0, 54).startswith(
        "0.0% [0.0"
    )
    apart = mean_difference([0.0, 0.1], [0.9, 1.0, 0.2])
    assert apart is not None and apart.interval is not None and apart.interval[0] == -1


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


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # The usual table of order-statistic intervals for a median, e.g. n = 10: 2nd and 9th.
    [(5, None, None), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (20, 6, 15), (25, 8, 18)],
)
def test_median_interval(count: int, low: int | None, high: int | None) -> None:
    found = median([float(n) for n in range(count, 0, -1)])
    assert found is not None
    assert (found.value, found.low, found.high) == ((count + 1) / 2, low, high)


def test_nothing_has_no_figure() -> None:
    assert share(0, 0) is None and median([]) is None
    assert accuracy(0.5, 0).low is None


def test_differences_are_the_interval_functions() -> None:
    assert share_difference((7, 10), (3, 12)) == Difference(
        *newcombe((7, 10), (3, 12)), count=10, other_count=12
    )
    value, (low, high) = welch([0.1, 0.3], [0.5, 0.6, 0.9])  # type: ignore[misc]
    found = mean_difference([0.1, 0.3], [0.5, 0.6, 0.9])
    assert found == Difference(value, low, high, count=2, other_count=3)
    assert share_difference((0, 0), (1, 2)) is None and mean_difference([], [1.0]) is None


def test_sign_needs_an_interval_that_excludes_zero() -> None:
    assert [sign_of(ends) for ends in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), None)] == [
        1,
        -1,
        0,
        0,
    ]
    assert Estimate(0.5, None, None, 1).sign == 0 and Estimate(0.5, 0.4, 0.6, 9).sign == 1


def test_a_straight_line_is_certain() -> None:
    slope, interval = slope_of([1.0, 3.0, 5.0, 7.0])
    assert slope == pytest.approx(2.0)
    assert interval == (pytest.approx(2.0), pytest.approx(2.0))


def test_slope_with_its_interval() -> None:
    # y = 1, 2, 2 over 1, 2, 3: slope 1/2, residuals -1/6, 1/3, -1/6, standard error sqrt(1/12).
    slope, interval = slope_of([1.0, 2.0, 2.0])
    assert slope == pytest.approx(0.5)
    half = 12.706205 * (1 / 12) ** 0.5
    assert interval == (pytest.approx(0.5 - half, rel=1e-5), pytest.approx(0.5 + half, rel=1e-5))


def test_thirds_are_compared() -> None:
    found = trend([0.0, 0.2, 0.5, 0.6, 1.0, 1.2])
    assert (found.steps, found.first, found.last) == (6, pytest.approx(0.1), pytest.approx(1.1))
    assert found.rise == pytest.approx(1.0)
    assert found.rise_interval is not None
    # Two and two values, both with deviation sqrt(0.02): t(0.975, 2) * sqrt(0.02/2 + 0.02/2).
    assert found.rise_interval[0] == pytest.approx(1.0 - 4.302653 * 0.02**0.5, rel=1e-5)


def test_too_few_steps_have_no_interval() -> None:
    assert slope_of([1.0]) == (None, None)
    assert slope_of([1.0, 2.0]) == (pytest.approx(1.0), None)
    assert trend([1.0, 2.0, 4.0]).rise_interval is None
    assert trend([2.0]).rise == 0.0


def wealth(values: list[float], mean: float) -> float:
    """What bets on values above this mean won, for each stake and then on average, by hand."""
    stakes, total = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4), 0.0
    for stake in stakes:
        product = 1.0
        for n, value in enumerate(values):
            forecast = min((0.5 + sum(values[:n])) / (n + 1), 0.75 / stake)
            product *= (1 + stake * (value - forecast)) * math.exp(stake * (forecast - mean))
        total += product / len(stakes)
    return total


def test_anytime_difference_by_hand() -> None:
    assert anytime_difference([], [0.5]) is None and anytime_difference([0.5], []) is None
    one, other = [0.9, 1.0, 0.8] * 6, [0.1, 0.0, 0.2] * 6  # mirror images: both bets win the same
    found = anytime_difference(one, other)
    assert found is not None and (found.count, found.other_count) == (18, 18)
    assert found.value == pytest.approx(0.8) and found.low is not None
    mean = (found.low + 1) / 2
    assert wealth(one, mean - 0.001) ** 2 > 40 > wealth(one, mean + 0.001) ** 2
    single = anytime_difference([0.5], [0.5])
    assert single is not None and single.interval == (-1, 1)


def test_bets_win_at_least_the_bound_of_howard_and_others() -> None:
    for stake in (0.125, 0.25, 0.5):
        slack = -math.log(1 - stake) - stake
        for gap in (-0.9, -0.3, 0.0, 0.4, 1.0):
            assert math.log1p(stake * gap) >= stake * gap - slack * gap**2 - 1e-12


def test_looking_at_any_time_misses_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """One arm learns from what it reached, so its outcomes depend on earlier ones."""
    monkeypatch.setattr(statistics, "_STEPS", 200)
    chance, missed, one_look = random.Random(5), 0, 0
    for _ in range(50):
        loop, control, expected, base = [], [], [], 0.3
        seen = [False, False]
        for n in range(1, 33):
            expected.append(0.2 + 0.6 * fmean([0.5, *loop[-4:]]))
            loop.append(float(chance.random() < expected[-1]))
            control.append(float(chance.random() < base))
            if n % 2 and n > 4:
                truth = fmean(expected) - base
                found, (_, once) = anytime_difference(loop, control), welch(loop, control)
                assert found is not None and found.interval is not None and once is not None
                for place, (low, high) in enumerate((found.interval, once)):
                    seen[place] |= not low <= truth <= high
        missed, one_look = missed + seen[0], one_look + seen[1]
    assert missed <= 2 and one_look >= 6  # of 50; 5% allow 2.5, and an interval for one look fails
