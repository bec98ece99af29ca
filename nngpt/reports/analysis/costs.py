"""What a run took: time and energy by cycle and activity, and what had been forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.store import Activity, CycleSummary, ForecastRecord


@dataclass(frozen=True)
class Forecasted:
    """A forecast beside what it took, in seconds from then on.

    Attributes:
        actual: None while the cycles it speaks of are not all closed, or nothing was measured.
        why: why there is no `actual`, "" if there is one.
    """

    forecast: ForecastRecord
    actual: float | None
    why: str = ""

    @property
    def error(self) -> float | None:
        """(forecast − actual) / actual."""
        return (self.forecast.seconds - self.actual) / self.actual if self.actual else None

    @property
    def held(self) -> bool | None:
        """Whether the actual time lay inside the forecast's bounds."""
        if self.actual is None:
            return None
        return self.forecast.low <= self.actual <= self.forecast.high


@dataclass(frozen=True)
class Costs:
    """Time and energy.

    Attributes:
        measured: True if the wall time of activities was measured; else they are sums over
            candidates of an older run, which may have gone on at once.
        by_cycle: seconds by cycle and activity.
        seconds: in all.
        joules: in all, None if no device reported energy.
        joules_by_cycle: of the cycles for which energy was reported.
        written: first answers and repairs of all arms.
        admitted: by the loop, repairs included.
        forecasts: oldest first.
    """

    measured: bool
    by_cycle: Mapping[int, Mapping[str, float]]
    seconds: float
    joules: float | None
    joules_by_cycle: Mapping[int, float]
    written: int
    admitted: int
    forecasts: tuple[Forecasted, ...]

    @property
    def activities(self) -> tuple[str, ...]:
        """Activities, the longest first."""
        totals: dict[str, float] = {}
        for spent in self.by_cycle.values():
            for name, seconds in spent.items():
                totals[name] = totals.get(name, 0.0) + seconds
        return tuple(sorted(totals, key=lambda name: (-totals[name], name)))

    @property
    def per_hour(self) -> float | None:
        """Candidates written an hour, all arms."""
        return self.written / self.seconds * 3600 if self.seconds else None

    @property
    def per_admitted(self) -> float | None:
        """Seconds per network that the loop admitted; the controls' time is in it."""
        return self.seconds / self.admitted if self.admitted else None


def costs(
    activities: Sequence[Activity],
    forecasts: Sequence[ForecastRecord],
    summaries: Sequence[CycleSummary],
    admitted: int,
) -> Costs:
    """What a run took.

    Args:
        activities: measured wall times, none for an older run.
        forecasts: oldest first.
        summaries: of all arms.
        admitted: networks that the loop admitted.
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
        written=sum(s.generated + s.repairs for s in summaries),
        admitted=admitted,
        forecasts=tuple(_against(f, activities, closed) for f in forecasts),
    )


def _against(
    forecast: ForecastRecord, activities: Sequence[Activity], closed: set[int]
) -> Forecasted:
    missing = set(range(1, forecast.cycles + 1)) - closed
    if missing:
        return Forecasted(forecast, None, f"{len(missing)} of its cycles are not done")
    spent = sum(a.seconds for a in activities if a.cycle <= forecast.cycles)
    if spent <= forecast.spent:
        return Forecasted(forecast, None, "nothing was measured after it")
    return Forecasted(forecast, spent - forecast.spent)
