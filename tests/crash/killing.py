"""Kill a run, look at its database, carry on, and compare with a run that nobody disturbed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crash.instant_executor import WORKERS
from crash.instant_runs import Kind
from crash.invariants import Rows, Standing, check, check_end, outcome
from crash.runner import Runner, Runners


@dataclass(frozen=True)
class Undisturbed:
    """What a kind of run comes to, and the wall time from its start to its end."""

    outcome: tuple[Rows, Rows]
    seconds: float


Peace = Callable[[Kind], Undisturbed]


@dataclass
class Killing:
    """A kind of run in a folder, killed any number of times.

    Attributes:
        standings: what the database held after each kill.
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
        """A runner; see `Runners.start`."""
        return self.runners.start(self.folder, self.command, at, by, of)

    def look(self) -> Standing:
        """Check what must hold now, and remember what there was."""
        found = check(self.folder, batch=self.kind.batch, workers=WORKERS)
        self.standings.append(found)
        return found

    def killed(self, runner: Runner) -> bool:
        """Wait for its end and look; False if it had come to its end before it was killed."""
        ended = runner.wait()
        assert ended.code in (0, -signal.SIGKILL), ended.said
        assert ended.said == ""
        self.look()
        return ended.code != 0

    def carry_on(self, undisturbed: Undisturbed) -> None:
        """Let the same command end the run: nothing is lost, doubled or different."""
        ended = self.start().wait()
        assert (ended.code, ended.said) == (0, "")
        self.compare(undisturbed)

    def compare(self, undisturbed: Undisturbed) -> None:
        """The run is over, and as if nothing had happened."""
        check_end(self.folder, self.standings, batch=self.kind.batch, workers=WORKERS)
        assert outcome(self.folder) == undisturbed.outcome


def run_undisturbed(runners: Runners, kind: Kind, folder: Path) -> Undisturbed:
    """One run from start to end."""
    run = Killing(runners, kind, folder)
    began = time.monotonic()
    ended = run.start().wait()
    seconds = time.monotonic() - began
    assert (ended.code, ended.said) == (0, "")
    check_end(folder, [], batch=kind.batch, workers=WORKERS)
    return Undisturbed(outcome(folder), seconds)
