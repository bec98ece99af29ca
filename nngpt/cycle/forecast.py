"""How long a run will take: candidates × measured seconds, and pairs × measured seconds.

What was measured is this run's own earlier cycles, else those of a run with the same model, task
and protocol in the same database, else a probe (`nngpt.cycle.probe`). The bounds are 95% prediction
intervals over cycles; from a single cycle or a probe they rest on an assumed spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from nngpt.config import Config, with_new_keys
from nngpt.store import ForecastRecord, RunRecord, Store
from nngpt.store.states import now

ASSUMED_SPREAD = 0.3
"""Standard deviation over cycles in parts of the mean, where fewer than two were measured."""

_ALIKE = (
    *("llm", "task", "prompt", "sampling", "candidates"),
    *("controls", "evaluation", "learning", "without"),
)
_ASSUMED_T = 2.0


@dataclass(frozen=True)
class Basis:
    """What was measured.

    Attributes:
        source: where, for a person.
        per_candidate: wall seconds to write and settle a candidate, a value for each cycle.
        per_pair: seconds to learn a training pair, a value for each fine-tuning.
        candidates: per cycle, repairs and controls included.
        admitted: by the loop, per cycle.
    """

    source: str
    per_candidate: tuple[float, ...]
    per_pair: tuple[float, ...]
    candidates: float
    admitted: float


@dataclass(frozen=True)
class Expected:
    """Seconds with 95% bounds."""

    seconds: float
    low: float
    high: float

    @property
    def line(self) -> str:
        """`12 min [9–15]`, or in hours."""
        unit, name = (3600, "h") if self.seconds >= 2 * 3600 else (60, "min")
        values = (value / unit for value in (self.seconds, self.low, self.high))
        return "{:.1f} {unit} [{:.1f}–{:.1f}]".format(*values, unit=name)


def measured(store: Store, run: RunRecord) -> Basis | None:
    """What a run's closed cycles took, None before the first."""
    summaries = [s for s in store.summary(run.id) if s.closed]
    per_candidate, per_pair, counts = list[float](), list[float](), list[int]()
    adapters = store.adapters(run.id)
    for s in summaries:
        spent = [a for a in store.activities(run.id) if a.cycle == s.cycle]
        learning = sum(a.seconds for a in spent if "learning" in a.activity)
        count = len(store.attempts(run.id, s.cycle))
        if spent and count:
            counts.append(count)
            per_candidate.append((sum(a.seconds for a in spent) - learning) / count)
        if learning and s.cycle in adapters:
            per_pair.append(learning / adapters[s.cycle].pairs)
    if not per_candidate:
        return None
    admitted = fmean(s.admitted for s in summaries)
    source = f"{len(counts)} cycles of run {run.id}"
    return Basis(source, tuple(per_candidate), tuple(per_pair), fmean(counts), admitted)


def of_alike(store: Store, config: Config, but: int | None) -> Basis | None:
    """What the newest other run with the same settings took, None if there is none."""
    wanted = config.model_dump(mode="json")
    for run in reversed(store.runs()):
        began = with_new_keys(run.config, wanted)
        if run.id != but and _part(began) == _part(wanted):
            basis = measured(store, run)
            if basis is not None:
                return basis
    return None


def expect(config: Config, basis: Basis, first: int, pairs: int) -> Expected:
    """What the cycles from `first` on take if things go on as measured.

    Args:
        first: the next cycle; 0 counts the warm-up, too.
        pairs: training pairs there are now.
    """
    cycles = max(0, config.cycles - max(first, 1) + 1)
    settling = _sum_of(basis.per_candidate, cycles, basis.candidates)
    learned = float(pairs) if first == 0 and config.learning.warm_up else 0.0
    learned += _learned(config, basis.admitted, cycles, pairs)
    learning = _sum_of(basis.per_pair, max(cycles, 1), learned / max(cycles, 1))
    seconds = settling[0] + learning[0]
    half = math.hypot(settling[1], learning[1])
    # From `until_admitted_from` on a cycle writes up to its cap: that is in the upper bound alone.
    wanted = config.candidates
    growing = range(max(first, wanted.until_admitted_from, 1), config.cycles + 1)
    more = wanted.max_per_cycle - basis.candidates if wanted.until_admitted else 0.0
    most = max(0.0, more) * len(growing) * fmean(basis.per_candidate)
    return Expected(seconds, max(0.0, seconds - half), seconds + half + most)


def _learned(config: Config, admitted: float, cycles: int, pairs: int) -> float:
    """How many pairs the cycles' fine-tunings learn: all there are, or what is new and replayed."""
    learning = config.learning
    if not learning.enabled or "iteration" in config.without:
        return 0.0
    there = cycles * pairs + admitted * cycles * (cycles + 1) / 2
    if learning.start != "last" or learning.replay is None:
        return there
    new = admitted * cycles
    again = learning.replay
    return new + (cycles * again if isinstance(again, int) else again * (there - new))


def record(
    expected: Expected, basis: Basis, cycles: int, spent: float, fence: int
) -> ForecastRecord:
    """For the store: up to cycle `cycles`, after `spent` seconds, made by runner `fence`."""
    bounds = (expected.seconds, expected.low, expected.high)
    return ForecastRecord(now(), cycles, *bounds, spent, {**asdict(basis), "fence": fence})


def _sum_of(values: Sequence[float], cycles: int, times: float) -> tuple[float, float]:
    """Sum over so many cycles of `times` a value, and half the width of its interval."""
    if not values:
        return 0.0, 0.0
    mean = fmean(values)
    if len(values) < 2:
        spread, point = ASSUMED_SPREAD * mean, _ASSUMED_T
    else:
        from scipy.stats import t

        spread, point = stdev(values), float(t.ppf(0.975, len(values) - 1))
    half = point * spread * math.sqrt(cycles + cycles**2 / len(values))
    return cycles * times * mean, times * half


def _part(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: settings.get(key) for key in _ALIKE}
