"""Comparison with LEMUR's own code (nn-dataset 2.1.2): same ids, columns and values."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from lemur_files import bring_in, rows, tables
from store_samples import open_new

from nngpt.store import Store
from nngpt.store.lemur.dataframe import data

READ = """
import sys
sys.path.insert(0, ".")
import ab.nn.util.db.Read as Read  # fills db/ab.nn.db
import pandas as pd
pd.DataFrame.from_records(Read.data()).to_pickle("all.pkl")
best = Read.data(only_best_accuracy=True, dataset="cifar-10")
pd.DataFrame.from_records(best).to_pickle("best.pkl")
"""


@pytest.fixture(scope="session")
def reference(wheel: Path, part: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run LEMUR's package on a part of the corpus: its database, and what it reads from it."""
    folder = tmp_path_factory.mktemp("reference")
    with zipfile.ZipFile(part) as few:
        few.extractall(folder)
    with zipfile.ZipFile(wheel) as whole:
        utilities = [name for name in whole.namelist() if name.startswith("ab/nn/util/")]
        whole.extractall(folder, utilities)
    for package in ("ab", "ab/nn"):  # theirs import what trains networks
        (folder / package / "__init__.py").write_text("")
    (folder / "README.md").write_text("")
    subprocess.run([sys.executable, "-c", READ], cwd=folder, check=True, timeout=600)
    return folder


def test_the_frame_equals_lemurs(reference: Path, imported: Store) -> None:
    ours = data(imported.path).set_index("id")
    theirs = pd.read_pickle(reference / "all.pkl").set_index("id")
    assert list(ours.columns) == list(theirs.columns)
    assert sorted(ours.index) == sorted(theirs.index) and len(ours) > 1000
    theirs = theirs.loc[ours.index]
    # LEMUR reads code in text mode, so carriage returns are lost on it.
    theirs["nn_code"] = [ours["nn_code"][i] if _same(ours, theirs, i) else "" for i in ours.index]
    for name in ours.columns:
        equal = (ours[name] == theirs[name]) | (ours[name].isna() & theirs[name].isna())
        assert equal.all(), name


def test_the_best_trials_equal_lemurs(reference: Path, imported: Store) -> None:
    ours = data(imported.path, only_best_accuracy=True, dataset="cifar-10")
    theirs = pd.read_pickle(reference / "best.pkl")
    assert sorted(ours["id"]) == sorted(theirs["id"]) and len(ours) > 50


def test_lemurs_database_imports_like_its_files(
    reference: Path, imported: Store, tmp_path: Path
) -> None:
    with open_new(tmp_path / "other" / "nngpt.db") as other:
        report = bring_in(other, reference / "db" / "ab.nn.db")
        assert report.refused.count == 0
        from_files, from_database = tables(imported), tables(other)
        assert rows(other, "SELECT name FROM nn") == rows(imported, "SELECT name FROM nn")
    for name in ("stat", "prm", "run"):
        assert from_database[name] == from_files[name], name
    assert sum(from_database["stat"].values()) > 1000


def _same(ours: pd.DataFrame, theirs: pd.DataFrame, row: str) -> bool:
    code: str = ours["nn_code"][row]
    return code.replace("\r\n", "\n") == theirs["nn_code"][row]
