"""Where a run's time and energy go. Writing and training overlap, so what went on at once is one
kind of its own: the parts add up to the whole, and energy is never given to one of two."""

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
    """Sums up wall time and joules by what goes on. One thread uses it."""

    def __init__(self, energy: Energy) -> None:
        self._energy = energy
        self._going_on: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._joules: dict[str, float] = defaultdict(float)
        self._then, self._joules_then = time.monotonic(), energy.joules()

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """`activity` goes on, perhaps beside others."""
        self._account()
        self._going_on[activity] += 1
        try:
            yield
        finally:
            self._account()
            self._going_on[activity] -= 1

    def read(self) -> None:
        """Look at clock and counters."""
        self._account()

    def take(self, cycle: int) -> list[Activity]:
        """What was spent since the last call, for the books of this cycle."""
        self._account()
        spent = [
            Activity(cycle, activity, seconds, self._joules.get(activity))
            for activity, seconds in self._seconds.items()
        ]
        self._seconds.clear()
        self._joules.clear()
        return spent

    def _account(self) -> None:
        activity = "+".join(sorted(+self._going_on)) or OTHER
        now, joules = time.monotonic(), self._energy.joules()
        self._seconds[activity] += now - self._then
        if joules is not None and self._joules_then is not None:
            self._joules[activity] += joules - self._joules_then
        self._then, self._joules_then = now, joules


class MeteredProgress:
    """Passes everything on to another `Progress`, and tells a meter what begins and ends."""

    def __init__(self, progress: Progress, meter: Meter) -> None:
        self._to, self._meter = progress, meter

    def cycle_started(
        self,
        cycle: int,
        config: Config,
        adapter: Adapter | None,
        settled: Sequence[AttemptRecord],
    ) -> None:
        """Passed on."""
        self._to.cycle_started(cycle, config, adapter, settled)

    @contextmanager
    def writing(self, count: int) -> Iterator[None]:
        """`writing`."""
        with self._meter.during("writing"), self._to.writing(count):
            yield

    @contextmanager
    def repairing(self, attempt: AttemptRecord) -> Iterator[None]:
        """`writing`."""
        with self._meter.during("writing"), self._to.repairing(attempt):
            yield

    @contextmanager
    def training(self, attempt: AttemptRecord) -> Iterator[None]:
        """`training`."""
        with self._meter.during("training"), self._to.training(attempt):
            yield

    def settled(self, attempt: AttemptRecord) -> None:
        """Passed on."""
        self._to.settled(attempt)

    @contextmanager
    def learning(self, pairs: int) -> Iterator[OnStep]:
        """`learning`."""
        with self._meter.during("learning"), self._to.learning(pairs) as show:

            def on_step(step: int, steps: int, loss: float) -> None:
                self._meter.read()  # a counter may begin anew in a long fine-tuning
                show(step, steps, loss)

            yield on_step

    def note(self, text: str) -> None:
        """Passed on."""
        self._to.note(text)

    def cycle_done(self, summary: CycleSummary) -> None:
        """Passed on."""
        self._to.cycle_done(summary)
