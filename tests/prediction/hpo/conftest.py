"""A mirror with trials of LEMUR's, and a surrogate that learned from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from lemur_part import make_mirror

from nngpt.prediction.hpo import learned
from nngpt.prediction.runs import History, read_runs
from nngpt.store import Store


@pytest.fixture(scope="session")
def trials_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database."""
    return make_mirror(tmp_path_factory.mktemp("trials"))


@pytest.fixture(scope="session")
def trials(trials_mirror: Path) -> History:
    """All its runs, short ones too."""
    with Store.open(trials_mirror / "nngpt.db", create=False) as store:
        return read_runs(store.database, 1)


@pytest.fixture(scope="session")
def surrogate_file(trials: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A surrogate for 1 and 5 epochs."""
    path = tmp_path_factory.mktemp("surrogate") / "hpo.zip"
    learned.train(trials, path, lambda _: None, (1, 5))
    return path
