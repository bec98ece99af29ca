"""`nngpt cycle export`: networks of a real run, loaded as their cards describe."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, TIMEOUT_S, Nngpt, run_nngpt
from warm import Started

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.store import Store


@pytest.fixture(scope="session")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and its exported networks in `best`."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    done = run_nngpt(folder, ["cycle", "export", "--best", 5, "--out", "best"])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def one_run(exported: Path, tmp_path: Path) -> Path:
    """The run alone, in this test's folder."""
    shutil.copytree(exported / "runs", tmp_path / "runs")
    return tmp_path


def networks(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((folder / "index.json").read_text())["networks"]
    return found


def test_all_files_are_written_and_accuracies_reproduced(exported: Path) -> None:
    rows = networks(exported / "best")
    assert [row["attempt"] for row in rows] == [1, 2], "the best first"
    for row in rows:
        folder = exported / "best" / str(row["folder"])
        names = {"network.py", "weights.safetensors", "network.onnx", "card.md"}
        assert {path.name for path in folder.iterdir()} == names
        assert row["reproduced"] is True and row["onnx_problem"] == ""
        assert row["loaded"] == row["judged"] == row["onnx"]
        with Store.open(exported / "runs" / "nngpt.db", create=False) as store:
            attempt = store.attempt(int(str(row["attempt"])))
        assert attempt.evaluation is not None and attempt.candidate is not None
        assert attempt.evaluation.accuracy == row["accuracy"]
        assert (folder / "network.py").read_text().endswith("\n\n" + attempt.candidate.code)
        card = (folder / "card.md").read_text()
        assert "exactly as recorded" in card and "no test accuracy" in card
        assert str(row["content_hash"]) in card
    assert "| 01-" in (exported / "best" / "index.md").read_text()


def test_files_load_as_the_card_describes(exported: Path, tmp_path: Path) -> None:
    settings = config.load("smoke-mnist")
    splits = data_source(settings).splits(settings.seed, 1000, 200)
    labels = splits.validation.open_labels()
    for row in networks(exported / "best"):
        folder = tmp_path / str(row["folder"])
        shutil.copytree(exported / "best" / folder.name, folder)
        np.save(folder / "images.npy", splits.validation.open_images())
        card = (folder / "card.md").read_text()
        torch_code, onnx_code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        torch_code = re.sub(
            "images = .*", 'import numpy; images = torch.from_numpy(numpy.load("images.npy"))',
            torch_code,
        )  # fmt: skip
        keep = 'numpy.save("torch.npy", logits.numpy())\n'
        code = f'{torch_code}\n{keep}{onnx_code}\nnumpy.save("onnx.npy", logits)\n'
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)
        ours, theirs = np.load(folder / "torch.npy"), np.load(folder / "onnx.npy")
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
        for logits in (ours, theirs):
            assert (logits.argmax(1) == labels).mean() == row["accuracy"]


def test_a_killed_export_resumes(nngpt: Nngpt, exported: Path, one_run: Path) -> None:
    """The folder after a kill: one network complete, another partial, the index partial."""
    best = one_run / "best"
    shutil.copytree(exported / "best", best)
    first, second = (best / str(row["folder"]) for row in networks(best))
    second.rename(best / f".{second.name}.partial")
    (best / f".{second.name}.partial" / "card.md").unlink()
    (best / ".index.json.partial").write_text("{")
    (best / "index.md").unlink()
    kept = first.stat()
    other = nngpt("cycle", "export", "--best", 5, "--no-onnx", "--out", "best")
    assert other.returncode == 2 and "repeat the command that began this one" in other.stderr
    done = nngpt("cycle", "export", "--best", 5, "--out", "best")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 networks are here already." in done.stdout
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
    assert {path.name for path in best.iterdir()} == {
        "index.json", "index.md", first.name, second.name
    }  # fmt: skip
    for row, before in zip(networks(best), networks(exported / "best"), strict=True):
        assert {**row, "epochs": 0} == {**before, "epochs": 0}, "but for the seconds"
    assert (second / "weights.safetensors").read_bytes() == (
        exported / "best" / second.name / "weights.safetensors"
    ).read_bytes()


def test_a_training_with_other_epochs_is_not_compared(nngpt: Nngpt, one_run: Path) -> None:
    done = nngpt(
        *[
            "cycle",
            "export",
            "--attempt",
            "4",
            "--epochs",
            "2",
            "--no-onnx",
            "--out",
            "more",
            "--json",
        ]
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["networks"]
    assert row["attempt"] == 4 and row["reproduced"] is None and len(row["epochs"]) == 2
    assert row["onnx"] is None
    assert not (one_run / "more" / row["folder"] / "network.onnx").exists()


def test_the_card_of_a_confirmed_network_has_its_test_accuracy(nngpt: Nngpt, one_run: Path) -> None:
    nngpt(*["cycle", "confirm", "--epochs", "1", "--train-limit", "300"])
    done = nngpt(*["cycle", "export", "--best", "1", "--no-onnx", "--out", "best"])
    assert done.returncode == 0, done.stderr
    (card,) = (one_run / "best").glob("*/card.md")
    assert re.search(
        r"test accuracy of another, full training \(1 epochs\): .* of 10,000", card.read_text()
    )


def test_without_onnx_the_rest_is_exported(one_run: Path) -> None:
    arguments = ["cycle", "export", "--best", "1", "--out", "best"]
    done = Started(one_run, arguments, os.environ, without=["onnx"]).wait(TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert "No ONNX files: the package onnx is not installed. Install it with pip" in done.stdout
    (folder,) = (path for path in (one_run / "best").iterdir() if path.is_dir())
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.md",
        "network.py",
        "weights.safetensors",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--out runs", "is not empty"),
        ("--out new --attempt 5", "attempt 5: was not trained and judged"),
        ("--out new --attempt 99", "no attempt 99"),
        ("--out new --sandbox weakest", "evaluation.sandbox"),
        ("--out runs/nngpt.db", "is a file, not a folder"),
    ],
)
def test_mistakes_are_one_line(nngpt: Nngpt, one_run: Path, options: str, said: str) -> None:
    done = nngpt("cycle", "export", *options.split())
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
