"""A run's time and energy by cycle, activity and accuracy reached, and its forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.records import Arm
from nngpt.reports.text import ARM_NAMES, plural
from nngpt.store import Activity, AttemptRecord, CycleSummary, ForecastRecord, RunRecord, Store


@dataclass(frozen=True)
class ForecastOutcome:
    """A forecast and the actual time, both in seconds from then on; `why` the latter is None."""

    forecast: ForecastRecord
    actual: float | None
    why: str = ""

    @property
    def error(self) -> float | None:
        """Relative error (forecast − actual) / actual, None without an actual time."""
        return (self.forecast.seconds - self.actual) / self.actual if self.actual else None

    @property
    def held(self) -> bool | None:
        """True if the actual time lies within the forecast's interval, None without one."""
        if self.actual is None:
            return None
        return self.forecast.low <= self.actual <= self.forecast.high


@dataclass(frozen=True)
class Reached:
    """What it took an arm to reach an accuracy for the first time, or all of it if it never did.

    Attributes:
        level: what the accuracy is: the admission threshold, or the best of an arm.
        accuracy: the accuracy to reach, 0…1.
        attempt: first attempt of the arm that reached it, repairs included; None if none did.
        cycle: its cycle, None without an attempt.
        written: number of answers of the arm up to then, repairs included.
        seconds: seconds of the arm's writing and trainings up to then, and of the loop's learning
            before its cycle: wall times of each, added up although trainings may overlap. Trainings
            that failed are not in them: their times are not stored.
        joules: energy of the run, all arms, up to the end of that cycle; None if none was reported.
    """

    level: str
    accuracy: float
    arm: Arm
    attempt: int | None
    cycle: int | None
    written: int
    seconds: float
    joules: float | None


@dataclass(frozen=True)
class Costs:
    """A run's time and energy.

    Attributes:
        measured: False for older runs: their times are sums over candidates and may overlap.
        by_cycle: seconds by cycle and activity.
        joules: total energy, None if no device reported it.
        joules_by_cycle: energy of the cycles for which it was reported.
        admitted_by_cycle: number of networks admitted by the loop, repairs included.
        written: number of first answers and repairs of all arms.
        forecasts: forecasts with their outcomes, oldest first.
    """

    measured: bool
    by_cycle: Mapping[int, Mapping[str, float]]
    seconds: float
    joules: float | None
    joules_by_cycle: Mapping[int, float]
    admitted_by_cycle: Mapping[int, int]
    written: int
    forecasts: tuple[ForecastOutcome, ...]

    @property
    def admitted(self) -> int:
        """Number of networks admitted by the loop over all cycles, repairs included."""
        return sum(self.admitted_by_cycle.values())

    @property
    def totals(self) -> dict[str, float]:
        """Seconds by activity, the longest first."""
        totals: dict[str, float] = {}
        for spent in self.by_cycle.values():
            for name, seconds in spent.items():
                totals[name] = totals.get(name, 0.0) + seconds
        return dict(sorted(totals.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def activities(self) -> tuple[str, ...]:
        """Activities, the longest in total first."""
        return tuple(self.totals)

    @property
    def per_hour(self) -> float | None:
        """Candidates written per hour by all arms; None if no time was spent."""
        return self.written / self.seconds * 3600 if self.seconds else None


def costs(
    activities: Sequence[Activity],
    forecasts: Sequence[ForecastRecord],
    summaries: Sequence[CycleSummary],
) -> Costs:
    """Return a run's time and energy by cycle and activity, and the outcomes of its forecasts.

    `activities` are measured wall times, empty for an older run; `summaries` are of all arms.
    """
    by_cycle: dict[int, dict[str, float]] = {}
    joules: dict[int, float] = {}
    for one in activities:
        by_cycle.setdefault(one.cycle, {})[one.activity] = one.seconds
        if one.joules is not None:
            joules[one.cycle] = joules.get(one.cycle, 0.0) + one.joules
    for summary in () if activities else summaries:
        spent = by_cycle.setdefault(summary.cycle, {})
        for name, seconds in summary.seconds.items():
            if seconds:
                spent[name] = spent.get(name, 0.0) + seconds
    closed = {s.cycle for s in summaries if s.closed}
    return Costs(
        measured=bool(activities),
        by_cycle=dict(sorted(by_cycle.items())),
        seconds=sum(sum(spent.values()) for spent in by_cycle.values()),
        joules=sum(joules.values()) if joules else None,
        joules_by_cycle=joules,
        admitted_by_cycle={
            s.cycle: s.admitted + s.repairs_admitted for s in summaries if s.arm is Arm.LOOP
        },
        written=sum(s.generated + s.repairs for s in summaries),
        forecasts=tuple(_against(f, activities, closed) for f in forecasts),
    )


def reached(
    attempts: Sequence[AttemptRecord],
    learning: Mapping[int, float],
    joules: Mapping[int, float],
    threshold: float,
) -> tuple[Reached, ...]:
    """Return what it took each arm of a run to reach the threshold and the best of each arm.

    `attempts` are those of all arms in the order of writing, `learning` the loop's seconds of
    learning and `joules` the energy, both by cycle. Accuracies are those that count.
    """
    arms = {arm: [a for a in attempts if a.arm is arm] for arm in Arm}
    levels = {"admission threshold": threshold}
    for arm, mine in arms.items():
        if results := [a.result.accuracy for a in mine if a.result is not None]:
            levels[f"best of {ARM_NAMES[arm]}"] = max(results)
    return tuple(
        _reached(level, accuracy, arm, mine, learning if arm is Arm.LOOP else {}, joules)
        for level, accuracy in sorted(levels.items(), key=lambda one: one[1])
        for arm, mine in arms.items()
        if mine
    )


def read_reached(
    store: Store, run: RunRecord, attempts: Sequence[AttemptRecord], found: Costs
) -> tuple[Reached, ...]:
    """Return `reached` of a stored run, given all of its attempts and its costs.

    Raises: StoreError if the database cannot be read.
    """
    learning = {cycle: adapter.seconds for cycle, adapter in store.adapters(run.id).items()}
    threshold = float(run.config.get("task", {}).get("threshold", 0.0))
    return reached(attempts, learning, found.joules_by_cycle, threshold)


def _reached(
    level: str,
    accuracy: float,
    arm: Arm,
    attempts: Sequence[AttemptRecord],
    learning: Mapping[int, float],
    joules: Mapping[int, float],
) -> Reached:
    good = (n for n, a in enumerate(attempts) if a.result and a.result.accuracy >= accuracy)
    place = next(good, None)
    first, upto = (None, attempts) if place is None else (attempts[place], attempts[: place + 1])
    cycle = first.cycle if first else None
    seconds = sum(map(_own_seconds, upto))
    seconds += sum(spent for c, spent in learning.items() if cycle is None or c < cycle)
    energy = [spent for c, spent in joules.items() if cycle is None or c <= cycle]
    return Reached(
        level=level,
        accuracy=accuracy,
        arm=arm,
        attempt=first.id if first else None,
        cycle=cycle,
        written=len(upto),
        seconds=seconds,
        joules=sum(energy) if energy else None,
    )


def _own_seconds(attempt: AttemptRecord) -> float:
    trainings = (t.seconds for t in (attempt.evaluation, attempt.retraining) if t is not None)
    return attempt.completion.seconds + sum(trainings)


def _against(
    forecast: ForecastRecord, activities: Sequence[Activity], closed: set[int]
) -> ForecastOutcome:
    missing = set(range(1, forecast.cycles + 1)) - closed
    if missing:
        return ForecastOutcome(forecast, None, f"{plural(len(missing), 'cycle')} not closed yet")
    spent = sum(a.seconds for a in activities if a.cycle <= forecast.cycles)
    if spent <= forecast.spent:
        return ForecastOutcome(forecast, None, "nothing was measured since")
    return ForecastOutcome(forecast, spent - forecast.spent)
