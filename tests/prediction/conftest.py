"""A mirror with some of LEMUR's own long runs, and a predictor that learned from them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from execution_fixtures import splits, start
from long_runs import DATASETS, NETWORKS, STAT

from nngpt.lemur import pulling
from nngpt.lemur.importing import import_source
from nngpt.lemur.source import open_source
from nngpt.prediction import file, learned, targets
from nngpt.prediction.runs import History, read_runs
from nngpt.store import Store


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database: 18 networks' runs of 50 epochs on three data sets."""
    folder = tmp_path_factory.mktemp("mirror")
    wanted = {
        *(f"ab/nn/nn/{name}.py" for name in NETWORKS),
        *(STAT.format(d, n, e) for d in DATASETS for n in NETWORKS for e in range(1, 51)),
    }
    with (
        zipfile.ZipFile(pulling.pull()) as whole,
        zipfile.ZipFile(folder / "part.whl", "w") as part,
    ):
        for name in whole.namelist():
            if name in wanted or name.startswith("ab/nn/transform/"):
                part.writestr(name, whole.read(name))
    source = open_source(folder / "part.whl")
    with Store.open(folder / "nngpt.db") as store:
        import_source(store.database, source)
    source.close()
    return folder


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


__all__ = ["splits", "start"]
