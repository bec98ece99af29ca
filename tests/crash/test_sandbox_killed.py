"""If any process of the sandbox is killed from outside, the run goes on to the same end."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from command_line import ALSO_GOOD, GOOD, begin_nngpt, run_nngpt
from crash.instant_runs import ANOTHER, Kind
from crash.invariants import database, outcome
from crash.killing import KilledRun, Undisturbed
from crash.runner import Runners
from warm import Started

from nngpt.sandbox import processes

LOCAL = Kind(
    (GOOD, ALSO_GOOD, ANOTHER),
    batch=3,
    settings=(
        ("candidates.per_cycle", 3),
        ("evaluation.executor", "local"),
        ("evaluation.threads", 1),
        ("evaluation.limit_s", 60),
        ("evaluation.workers", 1),
        ("evaluation.epochs", 4),
        ("evaluation.retrain", "false"),
        ("task.train_limit", 1500),
        ("task.validation_limit", 200),
        ("learning.enabled", "false"),
    ),
    cycles=1,
)
"""Real trainings in real processes, one after another."""


def wait_for_training(run: KilledRun, runner: Started, attempt: int) -> list[int]:
    """Wait until the attempt's code runs; return the pids from the first supervisor to the lane."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        line, workers = [runner.pid], 0
        while below := processes.children(line[-1]):
            line.append(below[0])
            workers = len(below)
        assert workers or not ended(runner), runner.stderr.read_text()
        found = state(run, attempt)
        # A lane has a worker that waits, and while it is busy another one that works.
        if found == "training" and workers == 2:
            return line[1:-1]
        assert found in ("", "generated", "parsed", "validated", "training"), "too late to kill"
        time.sleep(0.01)
    raise AssertionError(f"attempt {attempt} never trained")


def ended(runner: Started) -> bool:
    """Return whether the runner is a zombie."""
    return ") Z " in Path(f"/proc/{runner.pid}/stat").read_text()


def state(run: KilledRun, attempt: int) -> str:
    if not database(run.folder).exists():
        return ""
    with closing(sqlite3.connect(f"file:{database(run.folder)}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT state FROM nngpt_attempt WHERE id = ?", (attempt,)).fetchone()
    return str(found[0]) if found else ""


def test_supervisors_killed_while_candidates_train(
    runners: Runners, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    reference = tmp_path_factory.mktemp("undisturbed")
    done = run_nngpt(reference, LOCAL.command(reference))
    assert (done.returncode, done.stderr) == (0, "")
    run = KilledRun(runners, LOCAL, tmp_path)
    runner = begin_nngpt(tmp_path, run.command)
    # The lane, then whatever is above it: the zygote, and what waits for the zygote.
    for attempt, place in ((1, -1), (2, -2), (3, 0)):
        supervisors = wait_for_training(run, runner, attempt)
        time.sleep(0.1)  # its first report is on its way
        os.kill(supervisors[place], signal.SIGKILL)
        assert state(run, attempt) == "training", "the kill came too late"
    done = runner.wait(600)
    assert (done.returncode, done.stderr) == (0, "")
    run.compare(Undisturbed(outcome(reference), seconds=0))
