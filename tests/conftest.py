"""Fixtures that several folders of tests use; what they are made of is in command_line.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import store_samples
from command_line import Nngpt, run_nngpt, scripted_settings
from folder_scheduling import FolderScheduling, rank

from nngpt.cli.main import main
from nngpt.store import database

# Two test processes on two cores: OpenMP's threads would spin and wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
database._initialise = store_samples.copy_empty  # migrations take a while

_MEMORY, _ENOUGH = Path("/dev/shm"), 6 << 30
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
    _found = os.statvfs(_MEMORY)
    if _found.f_bavail * _found.f_frsize >= _ENOUGH and not _found.f_flag & os.ST_NOEXEC:
        # Thousands of transactions and files are synced, and need not wait for a disk.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture
def nngpt(tmp_path: Path) -> Nngpt:
    """Runs the command line as a process in this test's folder."""
    return lambda *arguments, **environment: run_nngpt(tmp_path, arguments, **environment)


@pytest.fixture
def call_nngpt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Nngpt:
    """Runs the command line in this process: for commands that end before they do much."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["nngpt", *words])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, printed.out, printed.err)

    return call


@pytest.fixture
def scripted(tmp_path: Path) -> list[str]:
    """`scripted_settings` for this test's folder."""
    return scripted_settings(tmp_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests: the slowest folders first."""
    items.sort(key=lambda item: rank(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderScheduling:
    """Run all tests of a folder in one process."""
    return FolderScheduling(config, log)
