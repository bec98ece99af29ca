"""Fixtures: a mirror with a few of LEMUR's long runs, and a predictor trained on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from lemur_part import make_mirror
from sandbox_fixtures import splits, start

from nngpt.prediction import predictor_file as files
from nngpt.prediction import predictor_training, targets
from nngpt.prediction.runs import History, read_history

__all__ = ["splits", "start"]


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a mirror: trials of 18 networks on three data sets."""
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="session")
def history(mirror: Path) -> History:
    """Return the mirror's runs of 50 epochs."""
    return read_history(mirror, targets.EPOCHS)


@pytest.fixture(scope="session")
def predictor_file(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a predictor for 0, 1, 2 and 5 known epochs."""
    path = tmp_path_factory.mktemp("predictor") / "predictor.zip"
    files.write(predictor_training.train(history, lambda _: None, (0, 1, 2, 5)), path)
    return path
