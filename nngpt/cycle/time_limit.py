"""A hard cap on the time of a run."""

from __future__ import annotations

import time


class BudgetSpent(KeyboardInterrupt):
    """The time is over: as if the user had pressed Ctrl-C, so that whatever saves its work then
    does so now. The same command carries on."""


class Budget:
    """Counts down from when it is made; None never ends."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds until the end, at least 0; None if there is none."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raises: BudgetSpent."""
        if self.left == 0.0:
            raise BudgetSpent
