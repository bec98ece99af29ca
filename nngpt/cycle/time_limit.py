"""Limit the wall time of a run."""

from __future__ import annotations

import time


class TimeLimitReached(KeyboardInterrupt):
    """Raised when the time limit is reached.

    Subclasses KeyboardInterrupt so that the same save-and-exit handlers run as after Ctrl-C.
    """


class TimeLimit:
    """A countdown of `seconds` that starts on construction; None never ends."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @classmethod
    def of_minutes(cls, minutes: float | None) -> TimeLimit:
        """Return a limit of `minutes`, or one that never ends."""
        return cls(None if minutes is None else 60 * minutes)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise TimeLimitReached if no time is left."""
        if self.seconds_left == 0.0:
            raise TimeLimitReached
