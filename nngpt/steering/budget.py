"""A hard cap on the time of a run."""

from __future__ import annotations

import time


class BudgetSpent(Exception):  # noqa: N818 (nothing went wrong)
    """The time is over. All that was recorded stays; the same command carries on."""


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
