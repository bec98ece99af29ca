"""Read the energy counters of CPU packages and GPUs; without counters nothing is estimated.

CPU packages: the kernel's powercap counters (RAPL), which virtual machines seldom have and
only root may read. GPUs: NVML's counter, through nvidia-ml-py if it is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


class Energy:
    """Sums up all readable counters.

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
    """Return the counters of this machine's GPUs (Volta or newer)."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []

    def counter(handle: object) -> Callable[[], float]:
        return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * _MILLI

    found = []
    for handle in handles:
        try:
            counter(handle)()
        except pynvml.NVMLError:
            continue
        found.append(counter(handle))
    return found
