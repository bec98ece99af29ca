"""Trends against values that can be worked out by hand."""

from __future__ import annotations

import pytest

from nngpt.statistics import slope_of, trend


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
