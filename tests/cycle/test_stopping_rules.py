"""The papers' plateau criterion, and the collapse alarm."""

from __future__ import annotations

import pytest

from nngpt.config import StopConfig
from nngpt.cycle.collapse import alarm, spread, spreads
from nngpt.cycle.stop import plateau
from nngpt.records import Candidate
from nngpt.store import CycleSummary


def cycle(number: int, *accuracies: float, generated: int = 20, above: int = 0) -> CycleSummary:
    return CycleSummary(
        cycle=number,
        mode="features",
        generated=generated,
        parsed=generated,
        valid=len(accuracies),
        admitted=0,
        open=0,
        refused={},
        accuracies=accuracies,
        seconds={},
        adapter=None,
        closed=True,
        learned=None,
        skipped="",
        above=above,
    )


FLAT = [cycle(n, 0.50, 0.52, above=1) for n in range(1, 5)]
STOP = StopConfig(enabled=True)


def test_a_flat_run_may_end_with_a_reason() -> None:
    reason = plateau(FLAT, STOP)
    assert "over 3 cycles" in reason and "+0.0 points (less than 1)" in reason


@pytest.mark.parametrize(
    "summaries",
    [
        FLAT[:3],
        [*FLAT[:3], cycle(4, 0.52, 0.53, above=1)],
        [*FLAT[:2], cycle(3, 0.52, 0.53, above=1), FLAT[3]],
        [*FLAT[:3], cycle(4)],
        [cycle(1, *[0.5] * 20), *(cycle(n, *[0.5] * 20, above=18) for n in (2, 3, 4))],
    ],
    ids=["too short", "still gains", "has gained", "nothing valid", "share moved"],
)
def test_a_run_continues_while_a_figure_moves(summaries: list[CycleSummary]) -> None:
    assert plateau(summaries, STOP) == ""


def test_window_and_gain_are_settings() -> None:
    rising = [cycle(n, 0.5 + n / 100, 0.5 + n / 100, above=1) for n in range(1, 4)]
    assert plateau(rising, StopConfig(enabled=True, cycles=2, gain=0.05))
    assert not plateau(rising, StopConfig(enabled=True, cycles=2, gain=0.005))


def test_falling_validity_raises_the_alarm() -> None:
    good = [cycle(n, *[0.5] * 18) for n in (1, 2, 3)]
    none = [[]] * 4
    assert alarm([*good, cycle(4, *[0.5] * 16)], none) == ""
    found = alarm([*good, cycle(4, *[0.5] * 8)], none)
    assert found.startswith("valid answers fell to 8/20 = 40%") and found.endswith("from 54/60")


def test_answers_that_become_similar_raise_the_alarm() -> None:
    same = [cycle(n, *[0.5] * 18) for n in (1, 2)]
    apart, near = [0.6, 0.7, 0.8, 0.7, 0.6], [0.1, 0.2, 0.1, 0.0, 0.1]
    assert alarm(same, [apart, apart]) == ""
    found = alarm(same, [apart, near])
    assert found.startswith(
        "the distance to the most similar answer fell to 0.10 from 0.68 (by 0.58"
    )
    assert alarm(same, [apart, [0.0]]) == "", "one network tells nothing"


def test_spread_is_the_distance_to_the_nearest_other_network() -> None:
    def network(code: str) -> Candidate:
        return Candidate(code, code, "full", {}, "norm", 64)

    tokens = " ".join(f"a{i}" for i in range(12))
    other = " ".join(f"b{i}" for i in range(12))
    half = " ".join([*(f"a{i}" for i in range(11)), "c"])
    assert spread([network(tokens)], 10) == []
    assert spread([network(tokens), network(tokens), network(other)], 10) == [0.0, 0.0, 1.0]
    # Runs of ten of twelve tokens: three each, of which two are shared.
    assert spread([network(tokens), network(half)], 10) == [0.5, 0.5]


def test_equal_numbers_of_networks_are_compared() -> None:
    def network(name: str) -> Candidate:
        code = " ".join(f"{name}{i}" for i in range(12))
        return Candidate(code, code, "full", {}, "norm", 64)

    few = [network(name) for name in "abcd"]
    more = [*few, network("a"), network("b")]
    assert spreads([more, few], 10) == [[1.0] * 4, [1.0] * 4], "the copies come too late to count"
    assert spreads([few, more], 10) == [[], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]]
    assert spreads([few, few[:3]], 10) == [[], []], "too few to tell"
