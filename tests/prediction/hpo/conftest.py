"""Fixtures: the trials of the mirror, and a surrogate trained on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nngpt.prediction.hpo import surrogate_file as files
from nngpt.prediction.runs import History, read_history


@pytest.fixture(scope="session")
def trials(mirror: Path) -> History:
    """Return all runs of the mirror, including short ones."""
    return read_history(mirror)


@pytest.fixture(scope="session")
def surrogate_file(trials: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a surrogate for 1 and 5 epochs."""
    path = tmp_path_factory.mktemp("surrogate") / "hpo.zip"
    files.train(trials, path, lambda _: None, (1, 5))
    return path
