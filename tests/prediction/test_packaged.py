"""The predictor and the surrogate that come with nngpt answer without any file or training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import ROOT, Nngpt
from PIL import Image

from nngpt.prediction.model_file import SHIPPED

PLAIN = ROOT / "tests" / "networks" / "plain.py"
VALUES = {"lr": 0.01, "momentum": 0.9, "dropout": 0.2}


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_files_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in SHIPPED.iterdir()}
    assert sizes.keys() == {"predictor.zip", "hpo.zip"} and sum(sizes.values()) < 8e6


def test_they_answer_on_a_fresh_machine_and_name_themselves(
    fresh: Path, call_nngpt: Nngpt, tmp_path: Path
) -> None:
    told = call_nngpt("predict", PLAIN)
    assert told.returncode == 0 and "note: assumed: data set cifar-10" in told.stderr
    assert "By the packaged predictor (nn-dataset 2.1.2)." in told.stdout
    told = call_nngpt("hpo", "predict", PLAIN, "--dataset", "mnist")
    assert told.returncode == 0
    first = told.stdout.splitlines()[0]
    assert first.startswith("# 1, by packaged surrogate (nn-dataset 2.1.2): ")
    assert "% expected after 1 epoch" in first
    for number in range(12):
        folder = tmp_path / "images" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")
    for data in (("--root", "images"), ("--dataset", "images")):
        (one,) = json.loads(call_nngpt("hpo", "predict", PLAIN, *data, "--json").stdout)
        assert one["accuracy"] is None
        assert any("cannot say which accuracy to expect" in note for note in one["notes"])
    assert not fresh.exists()


@pytest.mark.parametrize(
    ("options", "note"),
    [
        (("--dataset", "minst"), "unknown data set 'minst'. Did you mean 'mnist'?"),
        (("--dataset", "shapes", "--classes", 5, "--shape", "3x32x32"), "was not trained on"),
    ],
)
def test_what_they_cannot_say_is_null(
    fresh: Path, call_nngpt: Nngpt, options: tuple[object, ...], note: str
) -> None:
    told = call_nngpt("predict", PLAIN, *options)
    assert told.returncode == 0 and "cannot say" in told.stdout
    found = json.loads(call_nngpt("predict", PLAIN, *options, "--json").stdout)
    assert found["accuracy"] is None and note in found["notes"][0]


def test_a_file_of_ones_own_takes_precedence(
    fresh: Path, predictor_file: Path, call_nngpt: Nngpt
) -> None:
    fresh.mkdir()
    own = fresh / "predictor.zip"
    shutil.copy(predictor_file, own)
    found = json.loads(call_nngpt("predict", PLAIN, "--dataset", "svhn", "--json").stdout)
    assert found["model"] == f"own predictor {own} (part.whl)"
