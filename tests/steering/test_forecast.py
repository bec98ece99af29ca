"""Forecasts: from what cycles took, with bounds that follow from how they differed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy.stats import t
from store_samples import PROMPT, REFUSAL, completion

from nngpt import config
from nngpt.records import Adapter
from nngpt.steering.forecast import ASSUMED_SPREAD, Basis, Expected, expect, measured, of_alike
from nngpt.store import Activity, Store

SETTINGS = config.load("smoke-mnist")


def basis(per_candidate: tuple[float, ...], per_pair: tuple[float, ...] = ()) -> Basis:
    return Basis("here", per_candidate, per_pair, 12.0, 3.0, 0)


def test_candidates_times_seconds_and_pairs_times_seconds() -> None:
    per_cycle = SETTINGS.candidates.per_cycle
    expected = expect(SETTINGS, basis((2.0, 2.0), (0.5, 0.5)), cycles=4, pairs=10)
    learned = (13 + 16 + 19 + 22) * 0.5
    assert expected.seconds == pytest.approx(4 * per_cycle * 2.0 + learned)
    assert expected.low == expected.high == expected.seconds, "cycles that all took the same"


def test_bounds_are_a_prediction_interval_over_cycles() -> None:
    per_cycle = SETTINGS.candidates.per_cycle
    expected = expect(SETTINGS, basis((1.0, 2.0, 3.0)), cycles=2, pairs=0)
    half = t.ppf(0.975, 2) * 1.0 * per_cycle * math.sqrt(2 + 4 / 3)
    assert expected.high - expected.seconds == pytest.approx(half)
    assert expected.low == max(0.0, expected.seconds - half)


def test_one_cycle_has_an_assumed_spread() -> None:
    expected = expect(SETTINGS, basis((10.0,)), cycles=1, pairs=0)
    half = 2 * ASSUMED_SPREAD * expected.seconds * math.sqrt(2)
    assert expected.high == pytest.approx(expected.seconds + half)


def test_lines_are_in_minutes_or_hours() -> None:
    assert Expected(600, 300, 900).line == "10.0 min [5.0–15.0]"
    assert Expected(7200, 3600, 10800).line == "2.0 h [1.0–3.0]"


def cycles_of(store: Store, name: str, settings: dict[str, object], *seconds: float) -> int:
    """A run whose cycles of two candidates took so long, with 5 s of learning 10 pairs each."""
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


def test_a_run_is_measured_by_its_closed_cycles(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        run = cycles_of(store, "one", {}, 20.0, 40.0)
        found = measured(store, store.run(run))
        assert found is not None
        assert found.per_candidate == (10.0, 20.0)
        assert found.per_pair == (0.5, 0.5)
        assert (found.candidates, found.pairs) == (2.0, 10)
        empty = store.start_run("none", {}, {"name": "none"}, seed=1)
        assert measured(store, empty) is None


def test_a_run_with_the_same_settings_stands_in(tmp_path: Path) -> None:
    same = SETTINGS.model_dump(mode="json")
    other = config.load("smoke-mnist", ["evaluation.epochs=2"]).model_dump(mode="json")
    with Store.open(tmp_path / "a.db") as store:
        first = cycles_of(store, "same", same, 20.0)
        cycles_of(store, "other", other, 90.0)
        found = of_alike(store, SETTINGS, None)
        assert found is not None and found.per_candidate == (10.0,)
        assert found.source == f"1 cycles of run {first}"
        assert of_alike(store, SETTINGS, first) is None
