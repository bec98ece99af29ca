"""Account wall time and energy per activity.

Overlapping activities form a combined category (`training+writing`), so the categories sum to the
total, and energy is never attributed to one of two activities.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nngpt.config import Config
from nngpt.cycle.energy import Energy
from nngpt.protocols import OnStep
from nngpt.records import Adapter
from nngpt.reports.progress.run import Progress
from nngpt.store import Activity, AttemptRecord, CycleSummary

OTHER = "other"


class Meter:
    """Sums up wall time and joules by activity; for one thread."""

    def __init__(self, energy: Energy) -> None:
        self._energy = energy
        self._active: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._joules: dict[str, float] = defaultdict(float)
        self._last_time, self._last_joules = time.monotonic(), energy.joules()

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Count the block as `activity`, perhaps beside others."""
        self._account()
        self._active[activity] += 1
        try:
            yield
        finally:
            self._account()
            self._active[activity] -= 1

    def read(self) -> None:
        """Read clock and counters, so that no counter wraps around unnoticed."""
        self._account()

    def take(self, cycle: int) -> list[Activity]:
        """Return and reset the time and energy spent since the last call, as part of `cycle`."""
        self._account()
        spent = [
            Activity(cycle, activity, seconds, self._joules.get(activity))
            for activity, seconds in self._seconds.items()
        ]
        self._seconds.clear()
        self._joules.clear()
        return spent

    def _account(self) -> None:
        """Add the time and energy since the last reading to the activities in progress."""
        activity = "+".join(sorted(+self._active)) or OTHER
        now, joules = time.monotonic(), self._energy.joules()
        self._seconds[activity] += now - self._last_time
        if joules is not None and self._last_joules is not None:
            self._joules[activity] += joules - self._last_joules
        self._last_time, self._last_joules = now, joules


class MeteredProgress:
    """A `Progress` that meters each activity and forwards every call to another `Progress`."""

    def __init__(self, progress: Progress, meter: Meter) -> None:
        self._to, self._meter = progress, meter

    def cycle_started(
        self,
        cycle: int,
        config: Config,
        adapter: Adapter | None,
        settled: Sequence[AttemptRecord],
    ) -> None:
        """Forward the start of a cycle."""
        self._to.cycle_started(cycle, config, adapter, settled)

    @contextmanager
    def writing(self, count: int) -> Iterator[None]:
        """Meter `writing`."""
        with self._meter.during("writing"), self._to.writing(count):
            yield

    @contextmanager
    def repairing(self, attempt: AttemptRecord) -> Iterator[None]:
        """Meter a repair as `writing`."""
        with self._meter.during("writing"), self._to.repairing(attempt):
            yield

    @contextmanager
    def training(self, attempt: AttemptRecord) -> Iterator[None]:
        """Meter `training`."""
        with self._meter.during("training"), self._to.training(attempt):
            yield

    def settled(self, attempt: AttemptRecord) -> None:
        """Forward a settled attempt."""
        self._to.settled(attempt)

    @contextmanager
    def learning(self, pairs: int) -> Iterator[OnStep]:
        """Meter `learning`."""
        with self._meter.during("learning"), self._to.learning(pairs) as show:

            def on_step(step: int, steps: int, loss: float) -> None:
                self._meter.read()  # a counter may wrap around in a long fine-tuning
                show(step, steps, loss)

            yield on_step

    def note(self, text: str) -> None:
        """Forward a line of text."""
        self._to.note(text)

    def cycle_done(self, summary: CycleSummary) -> None:
        """Forward the end of a cycle."""
        self._to.cycle_done(summary)
