"""Kendall's τ-b against values computed by hand and by scipy."""

from __future__ import annotations

import random

import pytest
from scipy.stats import kendalltau

from nngpt.reports.analysis.full_training import RankAgreement, rank_agreement


@pytest.mark.parametrize(
    ("first", "full", "tau"),
    [
        ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], 1.0),
        ([0.1, 0.2, 0.3], [0.6, 0.5, 0.4], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 4 / 6),  # 5 pairs agree, 1 does not
        ([1, 1, 2, 3], [1, 2, 3, 4], 5 / (5 * 6) ** 0.5),  # one tie: 5 of 5 and 6 pairs
    ],
)
def test_by_hand(first: list[float], full: list[float], tau: float) -> None:
    found = rank_agreement(first, full)
    assert found.tau == pytest.approx(tau)
    assert (found.low, found.high, found.n) == (None, None, len(first))


def test_as_scipy_says_with_ties() -> None:
    generator = random.Random(5)
    first = [generator.randrange(12) for _ in range(60)]
    full = [value + generator.randrange(12) for value in first]
    found = rank_agreement(first, full)
    assert found.tau == pytest.approx(kendalltau(first, full).statistic)
    assert found.low is not None and found.high is not None and found.tau is not None
    assert -1 <= found.low < found.tau < found.high <= 1


def test_interval_covers_no_agreement_and_repeats() -> None:
    generator = random.Random(6)
    first, full = ([generator.random() for _ in range(40)] for _ in range(2))
    found = rank_agreement(first, full, seed=3)
    assert found == rank_agreement(first, full, seed=3)
    assert found.low is not None and found.high is not None
    assert found.low < 0 < found.high


@pytest.mark.parametrize("first", [[], [0.5], [0.5] * 20])
def test_nothing_to_rank(first: list[float]) -> None:
    full = [number / 100 for number in range(len(first))]
    assert rank_agreement(first, full) == RankAgreement(None, None, None, len(first))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 first scores, 2 full ones"):
        rank_agreement([1], [1, 2])
