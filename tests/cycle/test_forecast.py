"""Forecasts from the times of cycles, with bounds from their spread."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy.stats import t
from store_samples import PROMPT, REFUSAL, completion

from nngpt import config
from nngpt.cycle.forecast import (
    ASSUMED_SPREAD,
    Duration,
    MeasuredTimes,
    expected_duration,
    times_of_run,
    times_of_similar_run,
)
from nngpt.records import Adapter
from nngpt.store import Activity, Store

SETTINGS = config.load("smoke-mnist")


def times(
    per_candidate: tuple[float, ...], per_pair: tuple[float, ...] = (), candidates: float = 12.0
) -> MeasuredTimes:
    return MeasuredTimes("here", per_candidate, per_pair, candidates, admitted=3.0, learned=8.0)


def settings(cycles: int, *overrides: str) -> config.Config:
    return config.load("smoke-mnist", [f"cycles={cycles}", *overrides])


def test_candidates_times_seconds_and_pairs_times_seconds() -> None:
    known = times((2.0, 2.0), (0.5, 0.5))
    expected = expected_duration(settings(6, "learning.replay=null"), known, first=3, corpus=10)
    learned = (13 + 16 + 19 + 22) * 0.5
    assert expected.seconds == pytest.approx(4 * 12 * 2.0 + learned)
    assert expected.low == expected.high == expected.seconds, "equal cycles leave no spread"


@pytest.mark.parametrize(
    ("overrides", "learned"),
    [
        (["learning.start=last", "learning.replay=0.5"], 3 + 5 + 3 + 6.5),
        (["learning.start=last", "learning.replay=4"], 7 + 7),
        (["learning.enabled=false"], 0),
        (["without=[iteration]"], 0),
        (["learning.start=base"], 13 + 16),
        (["learning.select=top 0.5"], 11.5 + 13),
        (["learning.select=front"], 2 * 8),
        (["learning.learner=grpo", "learning.start=last"], 2 * 8),
    ],
)
def test_only_learned_pairs_count(overrides: list[str], learned: float) -> None:
    expected = expected_duration(
        settings(2, *overrides), times((1.0, 1.0), (1.0, 1.0)), first=1, corpus=10
    )
    assert expected.seconds == pytest.approx(2 * 12 + learned)


def test_a_warm_up_learns_the_corpus() -> None:
    warm = settings(1, "learning.warm_up=true", "learning.corpus=x", "learning.start=base")
    known = times((1.0, 1.0), (1.0, 1.0))
    with_it, without = (expected_duration(warm, known, first=n, corpus=10).seconds for n in (0, 1))
    assert with_it - without == pytest.approx(10)


def test_bounds_are_a_prediction_interval_over_cycles() -> None:
    expected = expected_duration(settings(2), times((1.0, 2.0, 3.0)), first=1, corpus=0)
    half = t.ppf(0.975, 2) * 1.0 * 12 * math.sqrt(2 + 4 / 3)
    assert expected.high - expected.seconds == pytest.approx(half)
    assert expected.low == max(0.0, expected.seconds - half)


def test_cycles_that_may_grow_raise_only_the_upper_bound() -> None:
    growing = settings(3, "candidates.until_admitted=9", "candidates.until_admitted_from=3")
    fixed, known = settings(3), times((1.0, 1.0))
    most = growing.candidates.max_per_cycle - 12
    one, other = (expected_duration(c, known, first=1, corpus=0) for c in (fixed, growing))
    assert (one.seconds, one.low) == (other.seconds, other.low)
    assert other.high - one.high == pytest.approx(most)


def test_one_cycle_has_an_assumed_spread() -> None:
    expected = expected_duration(settings(1), times((10.0,)), first=1, corpus=0)
    half = 2 * ASSUMED_SPREAD * expected.seconds * math.sqrt(2)
    assert expected.high == pytest.approx(expected.seconds + half)


def test_a_finished_run_has_no_time_left() -> None:
    done = expected_duration(settings(2), times((1.0, 2.0), (1.0, 2.0)), first=3, corpus=5)
    assert (done.seconds, done.low, done.high) == (0.0, 0.0, 0.0)


def test_lines_are_in_minutes_or_hours() -> None:
    assert Duration(600, 300, 900).line == "10.0 min [5.0–15.0]"
    assert Duration(7200, 3600, 10800).line == "2.0 h [1.0–3.0]"


def cycles_of(store: Store, name: str, settings: dict[str, object], *seconds: float) -> int:
    """Store a run with cycles of two candidates that took `seconds`, and 5 s for 10 pairs each."""
    run = store.start_run(name, settings, {"name": name}, seed=1)
    with store.lease(run.id) as lease:
        for cycle, spent in enumerate(seconds, 1):
            for attempt in lease.add_completions(cycle, 0, PROMPT, [completion(), completion(1)]):
                lease.refuse(attempt, REFUSAL)
            lease.spend([Activity(cycle, "training+writing", spent - 1, None)])
            lease.spend([Activity(cycle, "other", 1, None), Activity(cycle, "learning", 5, None)])
            adapter = Adapter(
                f"{name}-{cycle}", "", "tiny", "0", None, str(cycle), 10, 100, 2.0, 1.0, 5.0
            )
            lease.add_adapter(cycle, adapter)
    return run.id


def test_times_of_a_run_are_those_of_its_closed_cycles(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        run = cycles_of(store, "one", {}, 20.0, 40.0)
        found = times_of_run(store, store.run(run))
        assert found is not None
        assert found.per_candidate == (10.0, 20.0)
        assert found.per_pair == (0.5, 0.5)
        assert found.candidates == 2.0
        empty = store.start_run("none", {}, {"name": "none"}, seed=1)
        assert times_of_run(store, empty) is None


def test_times_of_a_run_with_the_same_settings_are_used(tmp_path: Path) -> None:
    same = SETTINGS.model_dump(mode="json")
    other = config.load("smoke-mnist", ["evaluation.epochs=2"]).model_dump(mode="json")
    with Store.open(tmp_path / "a.db") as store:
        first = cycles_of(store, "same", same, 20.0)
        cycles_of(store, "other", other, 90.0)
        found = times_of_similar_run(store, SETTINGS, None)
        assert found is not None and found.per_candidate == (10.0,)
        assert found.source == f"1 cycle of run {first}"
        assert times_of_similar_run(store, SETTINGS, first) is None
