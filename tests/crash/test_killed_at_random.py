"""Killed at any moment, a run loses at most the trainings in progress."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from crash.instant_executor import WORKERS
from crash.instant_runs import BATCHES
from crash.killing import KilledRun, Reference
from crash.runner import Runners

MOMENTS = 200
IN_SHORT = 6


def moments() -> list[float]:
    """Return shares of a run's time; the short test uses the first of the long test's."""
    draw = random.Random(20)
    return [draw.random() for _ in range(MOMENTS)]


def kill_and_resume(moment: float, runners: Runners, reference: Reference, folder: Path) -> int:
    """Kill a run and resume it; return the number of attempts in training at the kill."""
    undisturbed, in_training = reference(BATCHES), None
    delay = moment * undisturbed.seconds
    while in_training is None:
        run = KilledRun(runners, BATCHES, folder)
        runner = run.start()
        time.sleep(delay)
        runner.send_signal(signal.SIGKILL)
        if run.was_killed(runner):
            in_training = len(run.standings[0].in_training)
            run.resume(undisturbed)
        # Else the run ended before the kill: try again with an earlier one.
        delay *= 0.8
        shutil.rmtree(folder)
    return in_training


def test_killed_at_random_moments(runners: Runners, reference: Reference, tmp_path: Path) -> None:
    hits = [
        kill_and_resume(moment, runners, reference, tmp_path / "run")
        for moment in moments()[:IN_SHORT]
    ]
    assert all(0 <= hit <= WORKERS for hit in hits)


@pytest.mark.crash
def test_killed_at_many_random_moments(
    runners: Runners, reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    hits = [kill_and_resume(moment, runners, reference, tmp_path / "run") for moment in moments()]
    with capsys.disabled():
        print(
            f"\n{len(hits)} kills, {sum(hit > 0 for hit in hits)} of them in a training:"
            f" {sum(hits)} trainings begun anew, nothing else lost, nothing doubled;"
            f" {time.monotonic() - began:.0f} s"
        )
    assert any(hits)
