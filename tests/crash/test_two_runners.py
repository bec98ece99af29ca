"""Two runners on one database: runs do not disturb each other, and a run has one runner."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from crash.instant_executor import WORKERS
from crash.instant_runs import BATCHES
from crash.invariants import check_end, database, outcome
from crash.killing import KilledRun, Reference
from crash.runner import Exit, Runners

IN_THE_MIDDLE = 41
"""A moment just after a commit; a runner that stops before one keeps the database locked."""


@pytest.mark.parametrize("stopped", [False, True], ids=["at once", "one within the other"])
def test_two_runs_do_not_disturb_each_other(
    stopped: bool, runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    commands = {name: BATCHES.command(tmp_path, name) for name in ("one", "two")}
    at = IN_THE_MIDDLE if stopped else None
    one = runners.start(tmp_path, commands["one"], at, signal.SIGSTOP)
    if stopped:
        one.wait_until_stopped()
    two = runners.start(tmp_path, commands["two"])
    assert two.wait() == Exit(0, "")
    one.send_signal(signal.SIGCONT)
    assert one.wait() == Exit(0, "")
    check_end(tmp_path, [], batch=BATCHES.batch, workers=WORKERS)
    for name in commands:
        assert outcome(tmp_path, name) == reference(BATCHES).outcome


def test_a_second_runner_of_the_same_run_is_refused(
    runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    run = KilledRun(runners, BATCHES, tmp_path)
    first = run.start(IN_THE_MIDDLE, signal.SIGSTOP)
    first.wait_until_stopped()
    before = run.look()
    second = run.start().wait()
    assert second.code == 2
    assert f"another runner (pid {first.pid}) is working on this run" in second.stderr
    assert second.stderr.count("\n") == 1
    assert run.look() == before
    first.send_signal(signal.SIGCONT)
    assert first.wait() == Exit(0, "")
    run.standings.clear()  # the runner was stopped, not killed: its trainings went on
    run.compare(reference(BATCHES))


@pytest.mark.parametrize("moment", [9, 15, 23, 41, 67, 95])
def test_a_replaced_runner_ends_without_a_trace(
    moment: int, runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    run = KilledRun(runners, BATCHES, tmp_path)
    first = run.start(moment, signal.SIGSTOP)
    first.wait_until_stopped()
    run.look()
    # As on a network file system that lost the lock.
    path = database(tmp_path)
    path.with_name(f"{path.name}.run-1.lock").unlink()
    run.resume(reference(BATCHES))
    first.send_signal(signal.SIGCONT)
    ended = first.wait()
    assert ended.code == 2
    assert "another runner has taken over this run" in ended.stderr
    assert ended.stderr.count("\n") == 1
    run.compare(reference(BATCHES))
