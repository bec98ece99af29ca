"""Kill a run, check its database, resume, and compare with an undisturbed run."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crash.instant_runs import Kind
from crash.invariants import Rows, Standing, check, check_end, outcome
from crash.runner import Runner, Runners


@dataclass(frozen=True)
class Undisturbed:
    """The outcome of an undisturbed run, and its wall time in seconds."""

    outcome: tuple[Rows, Rows]
    seconds: float


Reference = Callable[[Kind], Undisturbed]


@dataclass
class KilledRun:
    """A run in a folder, killed any number of times.

    Attributes:
        standings: contents of the database after each kill.
    """

    runners: Runners
    kind: Kind
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.command = self.kind.command(self.folder)
        self.standings: list[Standing] = []

    def start(
        self, at: int | None = None, by: signal.Signals = signal.SIGKILL, of: str | None = None
    ) -> Runner:
        """Start a runner; see `Runners.start`."""
        return self.runners.start(self.folder, self.command, at, by, of)

    def look(self) -> Standing:
        """Check the invariants of the database, and keep its contents in `standings`."""
        found = check(self.folder, **self.kind.limits)
        self.standings.append(found)
        return found

    def was_killed(self, runner: Runner) -> bool:
        """Wait for the runner's end and check; return False if it ended before the kill."""
        ended = runner.wait()
        assert ended.code in (0, -signal.SIGKILL), ended.stderr
        assert ended.stderr == ""
        self.look()
        return ended.code != 0

    def resume(self, undisturbed: Undisturbed) -> None:
        """Finish the run by the same command: nothing is lost, doubled or different."""
        ended = self.start().wait()
        assert (ended.code, ended.stderr) == (0, "")
        self.compare(undisturbed)

    def compare(self, undisturbed: Undisturbed) -> None:
        """Check that the finished run equals an undisturbed one."""
        check_end(self.folder, self.standings, **self.kind.limits)
        assert outcome(self.folder) == undisturbed.outcome


def run_undisturbed(runners: Runners, kind: Kind, folder: Path) -> Undisturbed:
    """Run from start to end."""
    run = KilledRun(runners, kind, folder)
    began = time.monotonic()
    ended = run.start().wait()
    seconds = time.monotonic() - began
    assert (ended.code, ended.stderr) == (0, "")
    check_end(folder, [], **kind.limits)
    return Undisturbed(outcome(folder), seconds)
