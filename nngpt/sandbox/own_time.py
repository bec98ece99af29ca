"""A worker's own seconds: what it and its descendants computed, and how long they slept.

Neither depends on what else the machine does. On a CPU, own seconds are CPU seconds. On a GPU,
whose work no counter attributes to a process, they are wall seconds without those in which the
worker waited for a processor, divided by the number of workers that share the GPU: never more
than the worker would need alone, and less if its neighbours leave the GPU idle.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from nngpt.sandbox import processes

_PROCESS_CLOCK = 2  # CPUCLOCK_SCHED in the kernel's posix-timers.h: counted in nanoseconds


class OwnTime:
    """Measures one worker from the moment it gets its job; used by its lane.

    Attributes:
        asleep_s: seconds in which no thread ran or waited for a processor; 0 on a GPU, where
            waiting for the device looks the same.
    """

    def __init__(self, pid: int, listed: int, sharing: int) -> None:
        """Begin to measure a worker; `pid` in this process's namespace, `listed` as in /proc.

        Args:
            sharing: number of workers that share its GPU; 0 on a CPU.
        """
        self._pid, self._listed, self._sharing = pid, listed, sharing
        self._begun = self._looked = time.monotonic()
        self._before = self._cpu_s = self._cpu([])
        self._queued_before = processes.queued_s(listed)
        self.asleep_s = 0.0

    def look(self, descendants: Sequence[int]) -> None:
        """Bring the times up to now; `descendants` of the worker, as in /proc."""
        now, computed = time.monotonic(), -self._cpu_s
        self._cpu_s = max(self._cpu_s, self._cpu(descendants))
        computed += self._cpu_s
        if not self._sharing and not any(map(processes.is_runnable, [self._listed, *descendants])):
            self.asleep_s += max(0.0, now - self._looked - computed)
        self._looked = now

    @property
    def seconds(self) -> float:
        """Own seconds up to the last look."""
        if self._sharing:
            queued = processes.queued_s(self._listed) - self._queued_before
            return (self._looked - self._begun - max(0.0, queued)) / self._sharing
        return self._cpu_s - self._before

    def cpu_s(self, reaped_s: float) -> float:
        """Return the CPU seconds of a worker that has ended, reaped with `reaped_s` in all."""
        return max(reaped_s, self._cpu_s) - self._before

    def _cpu(self, descendants: Sequence[int]) -> float:
        """Return the CPU seconds of the worker since its fork, with its descendants'."""
        try:
            own = time.clock_gettime((~self._pid << 3) | _PROCESS_CLOCK)
        except OSError:  # it has ended
            return 0.0
        reaped = processes.reaped_cpu_s(self._listed)
        return own + reaped + sum(map(processes.cpu_s, descendants))
