"""Time and energy by activity; the counters are files as the kernel writes them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nngpt.cycle.meter import OTHER, Energy, Meter, TimeLimit, TimeLimitReached


class Package:
    """A powercap folder of one CPU package."""

    def __init__(self, root: Path, number: int = 0) -> None:
        self.folder = root / f"intel-rapl:{number}"
        self.folder.mkdir()
        (self.folder / "max_energy_range_uj").write_text("1000000000\n")
        (self.folder / "name").write_text(f"package-{number}\n")
        self.set(0)

    def set(self, joules: float) -> None:
        (self.folder / "energy_uj").write_text(f"{round(joules * 1e6)}\n")


def test_without_counters_there_are_no_joules(tmp_path: Path) -> None:
    assert Energy(tmp_path).joules() is None
    assert Energy(tmp_path).facts == ""


def test_packages_are_summed_and_a_counter_may_wrap_around(tmp_path: Path) -> None:
    one, two = Package(tmp_path, 0), Package(tmp_path, 1)
    one.set(990)
    whole = Package(tmp_path, 2)
    (whole.folder / "name").write_text("psys\n")
    energy = Energy(tmp_path)
    before = energy.joules()
    one.set(5)
    two.set(3)
    after = energy.joules()
    assert energy.facts == "2 × CPU package"
    assert before is not None and after is not None
    assert after - before == pytest.approx(5 + 1000 - 990 + 3)


def test_overlapping_activities_form_a_combined_category(tmp_path: Path) -> None:
    package = Package(tmp_path)
    meter = Meter(Energy(tmp_path))
    start = time.monotonic()
    with meter.during("writing"):
        package.set(10)
        with meter.during("training"), meter.during("training"):
            package.set(25)
        package.set(27)
    package.set(28)
    spent = {activity.activity: activity for activity in meter.take(3)}
    whole = time.monotonic() - start
    joules = {name: activity.joules for name, activity in spent.items()}
    assert joules == pytest.approx({"writing": 12, "training+writing": 15, OTHER: 1})
    assert {activity.cycle for activity in spent.values()} == {3}
    assert sum(activity.seconds for activity in spent.values()) <= whole + 0.1
    package.set(30)
    (rest,) = meter.take(4)
    assert (rest.activity, rest.cycle) == (OTHER, 4)
    assert rest.joules == pytest.approx(2)


def test_a_time_limit_ends() -> None:
    endless = TimeLimit(None)
    endless.check()
    assert endless.seconds_left is None
    spent = TimeLimit(0.0)
    assert spent.seconds_left == 0.0
    with pytest.raises(TimeLimitReached):
        spent.check()
