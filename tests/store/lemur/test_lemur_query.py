"""`nngpt lemur stats`, `query`, `sign` and `similar` from the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from command_line import Nngpt
from mirror_samples import NETWORKS, make_mirror

from nngpt.store import Store


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "nngpt.db"
    make_mirror(path).close()
    return path


def test_stats(mirror: Path, nngpt: Nngpt) -> None:
    told = nngpt("lemur", "stats")
    assert (told.returncode, told.stderr) == (0, "")
    for fact in (
        "import of a.whl: started 2025, interrupted or still running",
        "import of b.whl: finished 2026, 2 files refused",
        "6 networks, 5 of them distinct apart from white space",
        "0.5750 (6)",
    ):
        assert fact in told.stdout
    found = json.loads(nngpt("lemur", "stats", "--json").stdout)
    assert found["families"]["AlexNet"] == 2
    assert [one["dataset"] for one in found["datasets"]] == ["cifar-10", "mnist"]


def test_query_as_table_json_and_csv(mirror: Path, nngpt: Nngpt) -> None:
    asked = ("lemur", "query", "--dataset", "cifar-10", "--epoch", 1, "--best", "--limit", 2)
    table = nngpt(*asked)
    assert (table.returncode, table.stderr) == (0, "")
    assert table.stdout.splitlines()[-1] == "3 trials; 2 shown, all with --limit 0"
    assert "0.7000" in table.stdout and "lr=0.01" in table.stdout
    rows = json.loads(nngpt(*asked, "--json", "--code").stdout)
    assert [row["id"] for row in rows] == ["b1", "a3"]
    assert rows[0]["nn_code"] == NETWORKS["AlexNet-2f1c"]
    assert rows[1]["prm"] == {"lr": 1e-05, "batch": 8, "transform": "default", "optimizer": "08"}
    chosen = nngpt(*asked, "--csv", "--columns", "nn,prm.lr,prm,accuracy")
    parsed = list(csv.reader(io.StringIO(chosen.stdout)))
    assert parsed[0] == ["nn", "prm.lr", "prm", "accuracy"]
    assert [(row[0], float(row[1])) for row in parsed[1:]] == [
        ("AlexNet-2f1c", 0.01),
        ("AlexNet", 1e-05),
    ]
    assert json.loads(parsed[1][2])["momentum"] == 1.0


def test_an_empty_result_is_no_error(mirror: Path, nngpt: Nngpt) -> None:
    asked = ("lemur", "query", "--nn", "rl-idle")
    assert nngpt(*asked).stdout == "0 trials\n"
    assert json.loads(nngpt(*asked, "--json").stdout) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "cifar10"), "Did you mean 'cifar-10'?"),
        (("--columns", "nn,acuracy"), "--columns: no column 'acuracy'. Did you mean 'accuracy'?"),
        (("--json", "--csv"), "exclude each other"),
        (("--code",), "Add --json or --csv"),
        (("--folder", "nowhere"), "no LEMUR mirror here. Fetch LEMUR: nngpt lemur pull"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line(
    mirror: Path, nngpt: Nngpt, options: tuple[str, ...], message: str
) -> None:
    told = nngpt("lemur", "query", *options)
    assert (told.returncode, told.stdout) == (2, "")
    assert len(told.stderr.splitlines()) == 1
    assert message in told.stderr


def test_an_empty_database_is_not_a_mirror(tmp_path: Path, nngpt: Nngpt) -> None:
    Store.open(tmp_path / "runs" / "nngpt.db").close()
    told = nngpt("lemur", "stats", "--folder", "runs")
    assert told.returncode == 2
    assert "the LEMUR mirror is empty. Fetch LEMUR: nngpt lemur pull" in told.stderr


def test_sign_and_similar(mirror: Path, nngpt: Nngpt, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(NETWORKS["AlexNet"] + "# a comment does not count\n")
    unsigned = nngpt("lemur", "similar", file)
    assert unsigned.returncode == 2
    assert "no network has a signature. Compute them: nngpt lemur sign" in unsigned.stderr
    signed = nngpt("lemur", "sign")
    assert signed.stdout.splitlines() == [
        "6 networks signed",
        "scheme affine32, seed 1, 256 permutations, 10 lexical tokens per shingle",
    ]
    assert nngpt("lemur", "sign").stdout.startswith("every network has a signature")
    told = nngpt("lemur", "similar", file, "--top", 2)
    assert told.stdout.splitlines()[-1] == "6 of 6 networks compared exactly"
    found = json.loads(nngpt("lemur", "similar", file, "--top", 2, "--json").stdout)
    # Numbers do not count either, so these two are the same to this measure.
    assert [(one["nn"], one["jaccard"]) for one in found["nearest"]] == [
        ("AlexNet", 1.0),
        ("AlexNet-2f1c", 1.0),
    ]
    missing = nngpt("lemur", "similar", "missing.py")
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)
