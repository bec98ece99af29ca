"""A run that is stopped, or whose reader goes away: no traceback, and it carries on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from command_line import ROOT, Nngpt, begin_nngpt

from nngpt.cli import stopping
from nngpt.records import State
from nngpt.store import Store

RUN = ("cycle", "run", "smoke-mnist", "--cycles", "1")
STOPPED = "Stopped. The same command resumes.\n"


def stop_at(
    folder: Path, scripted: list[str], words: str, number: signal.Signals
) -> tuple[int, str]:
    """Signal a run once it has printed `words`; return its exit code and standard error."""
    process = begin_nngpt(folder, [*RUN, *scripted])
    process.wait_for(words)
    process.send_signal(number)
    ended = process.wait(120)
    return ended.returncode, ended.stderr


def test_stopped_twice_it_carries_on(nngpt: Nngpt, scripted: list[str], tmp_path: Path) -> None:
    assert stop_at(tmp_path, scripted, "Writing", signal.SIGINT) == (130, STOPPED)
    assert stop_at(tmp_path, scripted, "#1", signal.SIGTERM) == (143, STOPPED)
    done = nngpt(*RUN, *scripted)
    assert done.returncode == 0, done.stderr
    assert "resumes after 6 networks." in done.stdout
    with Store.open(tmp_path / "runs" / "nngpt.db", create=False) as store:
        assert store.run(1).status == "done"
        states = [attempt.state for attempt in store.attempts(1)]
    assert len(states) == 6 and set(states) == {State.ADMITTED, State.REFUSED}


def test_reader_that_goes_away(scripted: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "nngpt", *RUN, *scripted],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("arguments", [("--help",), ("models", "list"), ("data", "list", "--json")])
def test_listing_into_a_closed_pipe(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "nngpt", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_callback_is_not_lost(number: signal.Signals) -> None:
    class Callback:
        def __del__(self) -> None:
            signal.raise_signal(number)

    reached = []
    with pytest.raises(typer.Exit) as stopped, stopping.stoppable():
        Callback()
        reached.append("the exception was ignored")
        time.sleep(5)
        reached.append("the signal was lost")
    assert (stopped.value.exit_code, len(reached)) == (128 + number, 1)
