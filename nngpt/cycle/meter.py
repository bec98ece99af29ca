"""Account wall time and energy per activity, and limit a run's wall time.

Overlapping activities form a combined category (`training+writing`), so the categories sum to the
total, and energy is never attributed to one of two activities.

Energy comes from counters only; without counters nothing is estimated. CPU packages: the kernel's
powercap counters (RAPL), which virtual machines seldom have and only root may read. GPUs: NVML's
counter, through nvidia-ml-py if it is installed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

from nngpt.store import Activity

OTHER = "other"
_POWERCAP = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


class Meter:
    """Sums up wall time and joules by activity; a fine-tuning reads it from its own thread."""

    def __init__(self, energy: Energy) -> None:
        self._energy = energy
        self._lock = threading.RLock()
        self._active: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._joules: dict[str, float] = defaultdict(float)
        self._last_time, self._last_joules = time.monotonic(), energy.joules()
        self._taken = self._last_time

    @property
    def seconds_since_take(self) -> float:
        """Seconds since the last call of `take`, or since the start."""
        return time.monotonic() - self._taken

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Meter the block as `activity`, perhaps beside others."""
        with self._lock:
            self.read()
            self._active[activity] += 1
        try:
            yield
        finally:
            with self._lock:
                self.read()
                self._active[activity] -= 1

    def take(self, cycle: int) -> list[Activity]:
        """Return and reset the time and energy spent since the last call, as part of `cycle`."""
        with self._lock:
            self.read()
            spent = [
                Activity(cycle, activity, seconds, self._joules.get(activity))
                for activity, seconds in self._seconds.items()
            ]
            self._seconds.clear()
            self._joules.clear()
            self._taken = self._last_time
            return spent

    def read(self) -> None:
        """Add the time and energy since the last reading to the activities in progress."""
        with self._lock:
            activity = "+".join(sorted(+self._active)) or OTHER
            now, joules = time.monotonic(), self._energy.joules()
            self._seconds[activity] += now - self._last_time
            if joules is not None and self._last_joules is not None:
                self._joules[activity] += joules - self._last_joules
            self._last_time, self._last_joules = now, joules


class TimeLimitReached(KeyboardInterrupt):
    """Raised when a run's wall time limit is reached.

    Subclasses KeyboardInterrupt so that the same save-and-exit handlers run as after Ctrl-C.
    """


class TimeLimit:
    """A countdown of `seconds` that starts on construction; None never ends by itself.

    Attributes:
        ended: done once another thread has ended the limit.
    """

    def __init__(self, seconds: float | None, what: str = "The time limit") -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._what = what
        self.ended: Future[None] = Future()

    @classmethod
    def of_minutes(cls, minutes: float | None) -> TimeLimit:
        """Return a limit of `minutes`, or one that never ends."""
        if minutes is None:
            return cls(None)
        return cls(60 * minutes, f"The time limit of {minutes:g} minutes")

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end, at least 0; None without a limit."""
        if self.ended.done():
            return 0.0
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def end(self) -> None:
        """End the limit now; called once, from another thread."""
        self.ended.set_result(None)

    def check(self) -> None:
        """Raise TimeLimitReached if no time is left."""
        if self.seconds_left == 0.0:
            kept = "Everything recorded is kept; the same command resumes"
            raise TimeLimitReached(f"{self._what} is reached. {kept}.")


class Energy:
    """Sums up the joules of all readable energy counters.

    Attributes:
        facts: number and kind of the counters, "" if there are none.
    """

    def __init__(self, powercap: Path = _POWERCAP) -> None:
        packages = [_Package(folder) for folder in sorted(powercap.glob("*-rapl:[0-9]"))]
        cpus = [package for package in packages if package.readable()]
        gpus = _gpus()
        self._counters: list[Callable[[], float]] = [*(package.joules for package in cpus), *gpus]
        kinds = ((len(cpus), "CPU package"), (len(gpus), "GPU"))
        self.facts = ", ".join(f"{count} × {kind}" for count, kind in kinds if count)

    def joules(self) -> float | None:
        """Return the joules since a fixed moment in the past, None without a counter."""
        return sum(read() for read in self._counters) if self._counters else None


class _Package:
    """A RAPL counter in microjoules, which wraps around at its range."""

    def __init__(self, folder: Path) -> None:
        self._file, self._range = folder / "energy_uj", folder / "max_energy_range_uj"
        self._last, self._turns = 0, 0

    def readable(self) -> bool:
        """Return whether the counter covers a whole package and may be read."""
        try:
            if not (self._file.parent / "name").read_text().startswith("package"):
                return False
            self._last = int(self._file.read_text())
        except (OSError, ValueError):
            return False
        return True

    def joules(self) -> float:
        """Return the joules counted so far, wrap-arounds included."""
        now = int(self._file.read_text())
        self._turns += now < self._last
        self._last = now
        span = int(self._range.read_text()) if self._turns else 0
        return (now + self._turns * span) * _MICRO


def _gpus() -> list[Callable[[], float]]:
    """Return the counters of this machine's GPUs (Volta or newer), in joules."""
    try:
        import pynvml
    except ImportError:
        return []

    def counter(index: int) -> Callable[[], float]:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)  # older GPUs raise NVMLError
        return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * _MILLI

    found = []
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            with suppress(pynvml.NVMLError):
                found.append(counter(index))
    return found
