"""The context that all steps of a run share: settings, parts, records and display."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from nngpt.config import Config
from nngpt.cycle.meter import Meter, TimeLimit
from nngpt.cycle.parts import Parts
from nngpt.records import derive_seed
from nngpt.reports.progress import ConsoleProgress
from nngpt.store import CycleSummary, Lease, Store

T = TypeVar("T")


@dataclass(frozen=True)
class RunContext:
    """One run: settings, parts, records and display.

    Attributes:
        config: the run's configuration.
        parts: the opened plug-ins and data.
        store: the database, for reading.
        lease: this runner's right to write the run's records.
        progress: display of the run.
        meter: wall time and energy by activity.
        time_limit: the end of this runner's time.
    """

    config: Config
    parts: Parts
    store: Store
    lease: Lease
    progress: ConsoleProgress
    meter: Meter
    time_limit: TimeLimit

    @property
    def run_id(self) -> int:
        """The run's number in the database."""
        return self.lease.run_id

    def seed(self, purpose: str, *keys: object) -> int:
        """Derive the seed of one step of the run from the run's seed."""
        return derive_seed(self.config.seed, purpose, *keys)

    def summary(self, cycle: int) -> CycleSummary:
        """Return the loop's figures of a cycle that has begun."""
        return self.store.summary(self.run_id)[cycle - 1]

    @contextmanager
    def metered(self, activity: str, display: AbstractContextManager[T]) -> Iterator[T]:
        """Account the block as `activity`, and show its display meanwhile."""
        with self.meter.during(activity), display as shown:
            yield shown

    def record_spending(self, cycle: int, every_s: float = 0.0) -> None:
        """Store the time and energy spent since they were last stored as part of `cycle`.

        Args:
            every_s: do nothing if that was less than so many seconds ago.
        """
        if self.meter.seconds_since_take >= every_s:
            self.lease.spend(self.meter.take(cycle))

    def spent(self, cycle: int) -> dict[str, float]:
        """Return the wall seconds recorded for a cycle of the run, by activity."""
        found = self.store.activities(self.run_id)
        return {one.activity: one.seconds for one in found if one.cycle == cycle}
