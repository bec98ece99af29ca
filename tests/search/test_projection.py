"""Which networks of a search go on: those that are expected to be the best at the end."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from nngpt.search.journal import Journal, StageRecord
from nngpt.search.portfolio import read_portfolio
from nngpt.search.projection import Projection
from nngpt.search.recipe import Recipe

SMALL, LARGE = (30_000, 5_000_000), (400_000, 20_000_000)
"""Parameters and MACs."""


def record(name: str, accuracy: float, size: tuple[int, int], total: int = 4000) -> StageRecord:
    parameters, macs = size
    correct = round(accuracy * total)
    facts = {"parameters": parameters, "macs": macs, "batches": 150, "seconds": 20.0}
    return StageRecord(f"first-{name}", name, correct, total, recipe=Recipe(), **facts)


def projection(seconds: float) -> Projection:
    return Projection(pixels=1024, workers=2, seconds=seconds, spread=0.1, known={})


@pytest.mark.parametrize(("seconds", "best"), [(0.0, "small"), (3600.0, "large")])
def test_the_best_at_the_end_depends_on_the_time(seconds: float, best: str, tmp_path: Path) -> None:
    field = [record("small", 0.54, SMALL), record("large", 0.50, LARGE)]
    journal = Journal(tmp_path, seconds, time.monotonic())
    (_, first), _ = projection(seconds).ranked([(None, one) for one in field], journal)
    assert first.network == best


@pytest.mark.parametrize(
    ("accuracy", "total", "seconds", "able"),
    [
        (0.70, 4000, 600.0, True),
        (0.45, 4000, 600.0, False),
        (0.45, 40, 600.0, True),  # so few images tell little
        (0.65, 4000, 0.0, False),  # no time is left to catch up
    ],
)
def test_a_network_too_far_behind_is_stopped(
    accuracy: float, total: int, seconds: float, able: bool, tmp_path: Path
) -> None:
    best, other = record("best", 0.70, LARGE, total), record("other", accuracy, LARGE, total)
    journal = Journal(tmp_path, seconds, time.monotonic())
    names = [one.network for _, one in projection(seconds).able([(0, best), (0, other)], journal)]
    assert names == (["best", "other"] if able else ["best"])


def test_the_portfolio_gives_the_spread() -> None:
    assert 0.05 <= Projection.of(read_portfolio(), 1024, 2, 600.0).spread < 0.5


@pytest.mark.parametrize(("seconds", "best"), [(0.0, "other"), (600.0, "known")])
def test_a_network_of_the_portfolio_follows_its_curve(
    seconds: float, best: str, tmp_path: Path
) -> None:
    known = replace(read_portfolio()[0], curve=((9600, 0.40), (96_000, 0.95)))
    found = replace(projection(seconds), known={"known": known})
    field = [record("known", 0.40, LARGE), record("other", 0.45, LARGE)]
    journal = Journal(tmp_path, seconds, time.monotonic())
    (_, first), _ = found.ranked([(None, one) for one in field], journal)
    assert first.network == best
