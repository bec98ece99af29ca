"""Fixtures that several folders of tests use; what they are made of is in command_line.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from command_line import Nngpt, run_nngpt, scripted_settings
from folder_scheduling import FolderScheduling, rank

# Two test processes on two cores: OpenMP's threads would spin and wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def nngpt(tmp_path: Path) -> Nngpt:
    """Runs the command line as a process in this test's folder."""
    return lambda *arguments, **environment: run_nngpt(tmp_path, arguments, **environment)


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
