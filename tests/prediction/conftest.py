"""Fixtures: a mirror with a few of LEMUR's long runs, and a predictor trained on them.

They are made once per test run and shared by its processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_nngpt
from lemur_part import make_mirror
from sandbox_fixtures import splits, start

from nngpt.files import locked
from nngpt.prediction import targets
from nngpt.prediction.runs import History, read_history

__all__ = ["splits", "start"]

Shared = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Return a function that fills a folder, unless another test process has done it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        found = root / name
        with locked(root / f"{name}.lock"):
            if not (found / "complete").exists():
                found.mkdir(exist_ok=True)
                fill(found)
                (found / "complete").touch()
        return found

    return folder


@pytest.fixture(scope="session")
def mirror(shared: Shared) -> Path:
    """Return a folder with a mirror: trials of 18 networks on three data sets."""
    return shared("mirror", make_mirror)


@pytest.fixture(scope="session")
def history(mirror: Path) -> History:
    """Return the mirror's runs of 50 epochs."""
    return read_history(mirror, targets.EPOCHS)


@pytest.fixture(scope="session")
def predictor_file(mirror: Path, shared: Shared) -> Path:
    """Return the file of a predictor for 0, 1, 2 and 5 known epochs."""

    def train(folder: Path) -> None:
        epochs = ("--epochs", 1, "--epochs", 2, "--epochs", 5)
        path = folder / "deep" / "predictor.zip"
        made = run_nngpt(
            folder, ("predictor", "train", "--folder", mirror, "--predictor", path, *epochs)
        )
        assert made.returncode == 0, made.stderr
        assert "learning to predict after 1 epoch (2 of 4) …" in made.stderr.splitlines()
        assert "runs of 18 networks on 3 places" in made.stdout

    return shared("predictor", train) / "deep" / "predictor.zip"
