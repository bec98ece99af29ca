"""Two runners on one database: different runs do not disturb each other, one run has one runner."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from crash.instant_executor import WORKERS
from crash.instant_runs import BATCHES
from crash.invariants import check_end, database, outcome
from crash.killing import Killing, Peace
from crash.runner import Ended, Runners

IN_THE_MIDDLE = 41
"""A moment just after a commit; a runner that stops before one keeps the database locked."""


@pytest.mark.parametrize("stopped", [False, True], ids=["at once", "one within the other"])
def test_two_runs_do_not_disturb_each_other(
    stopped: bool, runners: Runners, peace: Peace, tmp_path: Path
) -> None:
    commands = {name: BATCHES.command(tmp_path, name) for name in ("one", "two")}
    at = IN_THE_MIDDLE if stopped else None
    one = runners.start(tmp_path, commands["one"], at, signal.SIGSTOP)
    if stopped:
        one.wait_until_stopped()
    two = runners.start(tmp_path, commands["two"])
    assert two.wait() == Ended(0, "")
    one.send_signal(signal.SIGCONT)
    assert one.wait() == Ended(0, "")
    check_end(tmp_path, [], batch=BATCHES.batch, workers=WORKERS)
    for name in commands:
        assert outcome(tmp_path, name) == peace(BATCHES).outcome


def test_a_second_runner_of_the_same_run_is_refused(
    runners: Runners, peace: Peace, tmp_path: Path
) -> None:
    run = Killing(runners, BATCHES, tmp_path)
    first = run.start(IN_THE_MIDDLE, signal.SIGSTOP)
    first.wait_until_stopped()
    before = run.look()
    second = run.start().wait()
    assert second.code == 2
    assert f"another runner (pid {first.pid}) is working on this run" in second.said
    assert second.said.count("\n") == 1
    assert run.look() == before
    first.send_signal(signal.SIGCONT)
    assert first.wait() == Ended(0, "")
    run.standings.clear()  # it was stopped, not killed: what was in training went on
    run.compare(peace(BATCHES))


@pytest.mark.parametrize("moment", [9, 15, 23, 41, 67, 95])
def test_a_runner_that_was_replaced_ends_without_a_trace(
    moment: int, runners: Runners, peace: Peace, tmp_path: Path
) -> None:
    run = Killing(runners, BATCHES, tmp_path)
    first = run.start(moment, signal.SIGSTOP)
    first.wait_until_stopped()
    run.look()
    # As on a network file system that lost the lock.
    path = database(tmp_path)
    path.with_name(f"{path.name}.run-1.lock").unlink()
    run.carry_on(peace(BATCHES))
    first.send_signal(signal.SIGCONT)
    ended = first.wait()
    assert ended.code == 2
    assert "another runner has taken over this run" in ended.said
    assert ended.said.count("\n") == 1
    run.compare(peace(BATCHES))
