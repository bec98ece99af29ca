"""Fixtures: the trials of the mirror, and a surrogate trained on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_nngpt

from nngpt.prediction.runs import History, read_history


@pytest.fixture(scope="session")
def trials(mirror: Path) -> History:
    """Return all runs of the mirror, including short ones."""
    return read_history(mirror)


@pytest.fixture(scope="session")
def surrogate_file(mirror: Path, shared: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return the file of a surrogate for 1 and 5 epochs."""

    def train(folder: Path) -> None:
        path = folder / "hpo.zip"
        epochs = ("--epochs", 1, "--epochs", 5)
        made = run_nngpt(folder, ("hpo", "train", "--folder", mirror, "--surrogate", path, *epochs))
        assert made.returncode == 0, made.stderr
        assert "learning accuracies after 5 epochs (2 of 2) …" in made.stderr.splitlines()
        assert " after 1 epoch, " in made.stdout and " after 5 epochs)" in made.stdout

    return shared("surrogate", train) / "hpo.zip"
