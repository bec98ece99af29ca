"""A mirror with some of LEMUR's own long runs, and a predictor that learned from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from lemur_part import make_mirror
from sandbox_fixtures import splits, start

from nngpt.prediction import file, learned, targets
from nngpt.prediction.runs import History, read_runs
from nngpt.store import Store

__all__ = ["splits", "start"]


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database: 18 networks' runs of 50 epochs on three data sets."""
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="session")
def history(mirror: Path) -> History:
    """Its runs."""
    with Store.open(mirror / "nngpt.db", create=False) as store:
        return read_runs(store.database, targets.EPOCHS)


@pytest.fixture(scope="session")
def predictor_file(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A predictor that learned from them for 0, 1, 2 and 5 epochs."""
    path = tmp_path_factory.mktemp("predictor") / "predictor.zip"
    file.write(learned.learn(history, lambda _: None, (0, 1, 2, 5)), path)
    return path
