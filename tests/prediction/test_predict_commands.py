"""The commands `nngpt predictor` and `nngpt predict`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from command_line import ROOT, Nngpt

PLAIN = ROOT / "tests" / "networks" / "plain.py"


def test_describe_the_predictor_and_predict(predictor_file: Path, nngpt: Nngpt) -> None:
    path = predictor_file
    card = json.loads(nngpt("predictor", "info", "--predictor", path, "--json").stdout)
    assert card["networks"] == 18 and len(card["data_sha256"]) == 64
    assert "img-classification/svhn/acc" in nngpt("predictor", "info", "--predictor", path).stdout
    settings = ("--prm", "lr=0.05", "--prm", "batch=64", "--prm", "momentum=0.9")
    asked = ("predict", PLAIN, "--dataset", "cifar10", "--predictor", path, *settings)
    told = nngpt(*asked, "--acc", 0.31, "--acc", 0.42)
    assert (told.returncode, told.stderr) == (0, "")
    assert "final accuracy" in told.stdout and "the first 2 of 2 epochs" in told.stdout
    assert told.stdout.splitlines()[-1].startswith(f"By the own predictor {path} (")
    found = json.loads(nngpt(*asked, "--acc", 0.31, "--json").stdout)
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    assert found["place"] == "img-classification/cifar-10/acc" and found["epochs"] == 1


def test_predict_for_an_ordinary_network_and_for_one_with_faults(
    predictor_file: Path, nngpt: Nngpt, tmp_path: Path
) -> None:
    ordinary = "import torch.nn as nn\nclass Mine(nn.Module):\n    def forward(self, x): ...\n"
    (tmp_path / "mine.py").write_text(ordinary)
    (tmp_path / "two.py").write_text(ordinary + ordinary.replace("Mine", "Other"))
    asked = ("--dataset", "cifar10", "--predictor", predictor_file, "--acc", 0.3)
    for file, note in (
        ("mine.py", "note: Mine(), trained with nngpt's own loop"),
        ("two.py", "note: the file is taken as it stands: there are several networks in the file"),
    ):
        told = nngpt("predict", file, *asked)
        assert told.returncode == 0 and "final accuracy" in told.stdout
        assert told.stderr.splitlines()[0].startswith(note)


def test_eval(mirror: Path, nngpt: Nngpt) -> None:
    asked = ("predictor", "eval", "--folder", mirror, "--split", "component", "--epochs", 1)
    table = nngpt(*asked)
    assert table.returncode == 0, table.stderr
    assert "mean gain" in table.stdout and "RMSE by place" in table.stdout
    (blind,) = json.loads(nngpt(*asked, "--without-code", "--json").stdout)
    assert blind["what"] == "without code" and 0 < blind["rmse"][0] < 0.4
    assert len(blind["coverage"]) == 3


def test_mistakes_are_one_line(predictor_file: Path, call_nngpt: Nngpt, tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.py", tmp_path / "empty.py"
    broken.write_text("class Net(:\n")
    empty.write_text("x = 1\n")
    file = ("--predictor", predictor_file)
    for arguments, line in (
        (
            (PLAIN, "--dataset", "mnist", "--predictor", "none.zip"),
            "none.zip: there is no predictor. Train one: nngpt predictor train",
        ),
        ((broken, "--dataset", "mnist", *file), "broken.py: the code cannot be read"),
        ((empty, "--dataset", "mnist", *file), "empty.py: there is no network in it"),
        ((tmp_path / "none.py", "--dataset", "mnist", *file), "none.py: cannot be read"),
        ((PLAIN, "--dataset", "mnist", "--acc", "31", *file), "Per cent? Then write 0.31"),
        ((PLAIN, "--dataset", "mnist", "--prm", "lr", *file), "--prm lr is not NAME=VALUE"),
        (
            (PLAIN, "--dataset", "mnist", "--prm", "lr=x", *file),
            "nngpt: --prm lr=x: 'x' is not a number",
        ),
        ((PLAIN, "--dataset", "mnist", "--prm", "batch=inf", *file), "'inf' is not finite"),
        (
            (PLAIN, "--dataset", "mnist", "--prm", "lr=-1", *file),
            "nngpt: lr must be a positive number, not -1.0",
        ),
    ):
        told = call_nngpt("predict", *arguments, NNGPT_CACHE=str(tmp_path / "cache"))
        assert told.returncode == 2 and told.stdout == ""
        assert len(told.stderr.splitlines()) == 1 and line in told.stderr
    for command in ("train", "eval"):
        told = call_nngpt("predictor", command, "--folder", tmp_path)
        assert told.returncode == 2 and "no mirror here. Fetch LEMUR" in told.stderr
    told = call_nngpt("predictor", "eval", "--folder", tmp_path, "--split", "families")
    assert "'families' is not one of 'component'" in told.stderr


def test_evaluate_loads_the_predictor(
    predictor_file: Path, nngpt: Nngpt, call_nngpt: Nngpt
) -> None:
    """That it stops is tested with the executor: these few runs never rule MNIST out."""
    settings = {
        "evaluation.epochs": 2,
        "evaluation.early_stop": "true",
        "evaluation.predictor": predictor_file,
        "evaluation.hyperparameters": "{lr: 0.01, momentum: 0.9, dropout: 0.2}",
        "task.train_limit": 200,
        "task.validation_limit": 100,
    }
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    told = nngpt("evaluate", PLAIN, *given)
    assert told.returncode == 0, told.stderr
    assert f"Stopping early: own predictor {predictor_file} (" in told.stdout
    assert "after 2 epochs on" in told.stdout
    given[given.index(f"evaluation.predictor={predictor_file}")] = "evaluation.predictor=none.zip"
    told = nngpt("evaluate", PLAIN, *given)
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1].startswith("nngpt: none.zip: there is no predictor")
    told = call_nngpt("evaluate", PLAIN, "--set", "evaluation.early_stop=true")
    assert told.returncode == 2 and "early_stop needs epochs of 2 to 50" in told.stderr


def test_an_executor_that_cannot_stop_early_is_refused(predictor_file: Path, nngpt: Nngpt) -> None:
    settings = {
        "evaluation.executor": "crash.instant_executor",
        "evaluation.epochs": 2,
        "evaluation.early_stop": "true",
        "evaluation.predictor": predictor_file,
    }
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    told = nngpt("evaluate", PLAIN, *given, PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    assert told.returncode == 2
    assert "the executor 'crash.instant_executor' trains to the end" in told.stderr
