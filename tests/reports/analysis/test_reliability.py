"""The share of the variance between networks, against published figures and simulations."""

from __future__ import annotations

import numpy as np
import pytest

from nngpt.records import canonical_json
from nngpt.reports.analysis.full_training import (
    REPEAT,
    longest,
    ranking,
    reliability,
    reliability_of,
    repeated,
)
from nngpt.store import Confirmation

RATINGS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Six targets, four ratings each (Shrout and Fleiss 1979, table 2)."""


def test_as_shrout_and_fleiss_have_it() -> None:
    found = reliability(RATINGS)
    assert found is not None and (found.networks, found.trainings) == (6, 4)
    assert found.share == pytest.approx(0.17, abs=0.005)
    assert found.within**2 == pytest.approx(6.26, abs=0.005)
    assert found.low == 0 and found.high == pytest.approx(0.72, abs=0.005)
    assert "not decided" in found.verdict


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_intervals_cover_the_true_share(share: float) -> None:
    chance, hits = np.random.default_rng(1), 0
    for _ in range(300):
        networks = chance.normal(size=(20, 1)) * share**0.5
        found = reliability(networks + chance.normal(size=(20, 5)) * (1 - share) ** 0.5)
        assert found is not None
        hits += found.low <= share <= found.high
    assert 0.91 <= hits / 300 <= 0.98


def test_verdicts() -> None:
    steps = [[n + 0.01 * k for k in range(3)] for n in range(6)]
    apart = reliability(steps)
    assert apart is not None and "more between networks than" in apart.verdict
    alike = reliability([[0.1 * k + 1e-9 * n for k in range(9)] for n in range(30)])
    assert alike is not None and "more between seeds than" in alike.verdict
    same = reliability([[0.5, 0.5], [0.7, 0.7]])
    assert same is not None and (same.share, same.low, same.high) == (1, 1, 1)


def trained(attempt: int, epochs: int, accuracy: float | None, repeat: int = 0) -> Confirmation:
    protocol = canonical_json({"epochs": epochs, **({REPEAT: repeat} if repeat else {})})
    curve = () if accuracy is None else (accuracy,) * epochs
    return Confirmation(attempt, protocol, 1, accuracy, 100, curve, 1.0)


def several(attempt: int, *accuracies: float | None) -> list[Confirmation]:
    return [trained(attempt, 1, accuracy, n) for n, accuracy in enumerate(accuracies)]


def test_only_trainings_that_all_have_are_compared() -> None:
    cut_off = [*several(1, 0.5, 0.6, 0.7), *several(2, 0.3, 0.4), *several(3, 0.1, None)]
    alone = [*several(4, 0.9), trained(5, 20, 0.8)]
    for found in (repeated([*cut_off, *alone]), repeated([*alone, *cut_off])):
        assert [[c.accuracy for c in network] for network in found] == [[0.5, 0.6], [0.3, 0.4]]
    told = reliability_of(cut_off)
    assert told is not None and (told.networks, told.trainings, told.epochs) == (2, 2, 1)
    assert repeated(alone) == [] and reliability_of(several(1, 0.5, 0.6)) is None


def test_short_and_repeated_trainings_replace_no_full_one() -> None:
    full = [trained(n, 20, 0.1 * n) for n in range(1, 4)]
    short = [c for n in range(1, 9) for c in several(n, 0.01 * n, 0.02 * n)]
    found = longest([*full, *short])
    assert [found[n].accuracy for n in (1, 2, 3, 4)] == pytest.approx([0.1, 0.2, 0.3, 0.04])
    told = ranking([*full, *short], [])
    assert told is not None and '"epochs":20' in told.protocol and told.others == 8
    assert told.reliability is not None and told.reliability.networks == 8


def test_nothing_to_divide() -> None:
    assert reliability([]) is None and reliability([[0.1, 0.2]]) is None
    assert reliability([[0.1], [0.2]]) is None and reliability([[0.5, 0.5]] * 3) is None
    with pytest.raises(ValueError, match="inhomogeneous"):
        reliability([[0.1, 0.2], [0.3]])
