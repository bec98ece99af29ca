"""Account wall time and energy per activity.

Overlapping activities form a combined category (`training+writing`), so the categories sum to the
total, and energy is never attributed to one of two activities.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from nngpt.cycle.energy import Energy
from nngpt.store import Activity

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
        self.read()
        self._active[activity] += 1
        try:
            yield
        finally:
            self.read()
            self._active[activity] -= 1

    def take(self, cycle: int) -> list[Activity]:
        """Return and reset the time and energy spent since the last call, as part of `cycle`."""
        self.read()
        spent = [
            Activity(cycle, activity, seconds, self._joules.get(activity))
            for activity, seconds in self._seconds.items()
        ]
        self._seconds.clear()
        self._joules.clear()
        return spent

    def read(self) -> None:
        """Add the time and energy since the last reading to the activities in progress."""
        activity = "+".join(sorted(+self._active)) or OTHER
        now, joules = time.monotonic(), self._energy.joules()
        self._seconds[activity] += now - self._last_time
        if joules is not None and self._last_joules is not None:
            self._joules[activity] += joules - self._last_joules
        self._last_time, self._last_joules = now, joules
