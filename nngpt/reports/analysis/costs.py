"""A run's time and energy by cycle and activity, and its forecasts against actual times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.reports.text import plural
from nngpt.store import Activity, CycleSummary, ForecastRecord


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
class Costs:
    """A run's time and energy.

    Attributes:
        measured: False for older runs: their times are sums over candidates and may overlap.
        by_cycle: seconds by cycle and activity.
        joules: total energy, None if no device reported it.
        joules_by_cycle: energy of the cycles for which it was reported.
        written: number of first answers and repairs of all arms.
        admitted: number of networks admitted by the loop, repairs included.
        forecasts: forecasts with their outcomes, oldest first.
    """

    measured: bool
    by_cycle: Mapping[int, Mapping[str, float]]
    seconds: float
    joules: float | None
    joules_by_cycle: Mapping[int, float]
    written: int
    admitted: int
    forecasts: tuple[ForecastOutcome, ...]

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

    @property
    def per_admitted(self) -> float | None:
        """Seconds per network admitted by the loop, control arms included in the time."""
        return self.seconds / self.admitted if self.admitted else None


def costs(
    activities: Sequence[Activity],
    forecasts: Sequence[ForecastRecord],
    summaries: Sequence[CycleSummary],
    admitted: int,
) -> Costs:
    """Return a run's time and energy by cycle and activity, and the outcomes of its forecasts.

    `activities` are measured wall times, empty for an older run; `summaries` are of all arms, and
    `admitted` counts the loop's admitted networks.
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
) -> ForecastOutcome:
    missing = set(range(1, forecast.cycles + 1)) - closed
    if missing:
        return ForecastOutcome(forecast, None, f"{plural(len(missing), 'cycle')} not closed yet")
    spent = sum(a.seconds for a in activities if a.cycle <= forecast.cycles)
    if spent <= forecast.spent:
        return ForecastOutcome(forecast, None, "nothing was measured since")
    return ForecastOutcome(forecast, spent - forecast.spent)
