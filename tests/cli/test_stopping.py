"""A run that is stopped, or whose reader goes away: no traceback, and it carries on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, Nngpt

from nngpt.records import State
from nngpt.store import Store

RUN = ("cycle", "run", "smoke-mnist", "--cycles", "1")
STOPPED = "Stopped. The same command resumes.\n"


def start(folder: Path, scripted: list[str]) -> subprocess.Popen[str]:
    """The command line as a process that writes to two pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "nngpt", *RUN, *scripted],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop_at(process: subprocess.Popen[str], words: str, number: signal.Signals) -> str:
    """Signal the process once it has printed `words`; returns what it wrote to stderr."""
    assert process.stdout is not None
    assert any(words in line for line in process.stdout)
    process.send_signal(number)
    return process.communicate(timeout=120)[1]


def test_stopped_twice_it_carries_on(nngpt: Nngpt, scripted: list[str], tmp_path: Path) -> None:
    process = start(tmp_path, scripted)
    assert stop_at(process, "Writing", signal.SIGINT) == STOPPED
    assert process.returncode == 130
    process = start(tmp_path, scripted)
    assert stop_at(process, "#1", signal.SIGTERM) == STOPPED
    assert process.returncode == 143
    done = nngpt(*RUN, *scripted)
    assert done.returncode == 0, done.stderr
    assert "resumes after 6 networks." in done.stdout
    with Store.open(tmp_path / "runs" / "nngpt.db", create=False) as store:
        assert store.run(1).status == "done"
        states = [attempt.state for attempt in store.attempts(1)]
    assert len(states) == 6 and set(states) == {State.ADMITTED, State.REFUSED}


def test_reader_that_goes_away(scripted: list[str], tmp_path: Path) -> None:
    with start(tmp_path, scripted) as process:
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
