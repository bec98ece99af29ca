"""`nngpt cycle export`: networks of a real run, used as their cards describe."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TIMEOUT_S, Nngpt, run_nngpt
from PIL import Image
from warm import Started

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.reports.analysis.best import best_networks
from nngpt.reports.analysis.rows import read_places
from nngpt.reports.cards import export_notes
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
        names = {"network.py", "weights.safetensors", "network.onnx", "predict.py"}
        assert {path.name for path in folder.iterdir()} == names | {"card.md", "report.html"}
        assert row["reproduced"] is True and row["onnx_problem"] == ""
        assert row["validation"] == row["judged"]
        (correct, images), onnx = row["test"], row["onnx"]  # type: ignore[misc]
        assert images == 10_000 and onnx[1] == images and abs(onnx[0] - correct) <= 2
        assert row["onnx_error"] < 1e-3  # type: ignore[operator]
        with Store.open(exported / "runs" / "nngpt.db", create=False) as store:
            attempt = store.attempt(int(str(row["attempt"])))
        assert attempt.evaluation is not None and attempt.candidate is not None
        assert attempt.evaluation.accuracy == row["accuracy"]
        assert (folder / "network.py").read_text().endswith("\n\n" + attempt.candidate.code)
        card = (folder / "card.md").read_text()
        assert "exactly as recorded" in card and "no full training" in card
        assert f"of {images:,} test images**" in card and str(row["content_hash"]) in card
        page = (folder / "report.html").read_text()
        assert page.count("data:image/png;base64,") == 24 and "this network is #" in page
    assert "| 01-" in (exported / "best" / "index.md").read_text()


WITHOUT = """
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys(["numpy", "safetensors", "torchvision", "nngpt", "onnx"]))
sys.path.insert(0, sys.argv[1])
import predict
for line in json.loads(sys.argv[2]):
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            try:
                code = predict.main(line)
            except SystemExit as ended:
                code = ended.code
    print(json.dumps([code, output.getvalue(), errors.getvalue()]))
    predict.load.cache_clear()
"""
"""Runs command lines of a folder's `predict.py` where only torch and pillow can be imported."""


def test_a_folder_works_with_torch_and_pillow_alone(exported: Path, tmp_path: Path) -> None:
    best = shutil.copytree(exported / "best", tmp_path / "moved")
    row = networks(best)[0]
    folder = best / str(row["folder"])
    settings = config.load("smoke-mnist")
    splits = data_source(settings).splits(settings.seed, 1000, 200)
    pictures = tmp_path / "pictures"
    for number, (image, label) in enumerate(
        zip(splits.validation.open_images(), splits.validation.open_labels(), strict=True)
    ):
        (pictures / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(pictures / str(label) / f"{number}.png")
    (tmp_path / "text.png").write_text("no picture")
    first = next(pictures.rglob("*.png"))
    lines = [
        [str(pictures), "--json", "--top", "99"],
        [str(first), str(tmp_path / "text.png"), "gone.png"],
        [str(first), "--top", "0"],
        [str(tmp_path / "moved" / folder.name)],
    ]
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITHOUT, str(folder), json.dumps(lines)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    whole, some, none, no_pictures = map(json.loads, done.stdout.splitlines())

    assert (whole[0], whole[2]) == (0, "")
    answers = json.loads(whole[1])
    right = [answer["classes"][0]["name"] == Path(answer["file"]).parts[-2] for answer in answers]
    assert [sum(right), len(right)] == row["validation"]
    for answer in answers:
        shares = [one["probability"] for one in answer["classes"]]
        assert len(shares) == 10 and shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)

    assert some[0] == 2 and re.fullmatch(rf"{first}: \d \d+\.\d%\n", some[1])
    assert some[2] == (
        f"predict.py: {tmp_path / 'text.png'}: is not an image in a known format\n"
        "predict.py: gone.png: No such file or directory\n"
    )
    assert none[0] == 2 and "'0' is not a number from 1" in none[2]
    assert no_pictures[0] == 2 and no_pictures[2].endswith("the folder holds no images\n")

    onnx_code = re.findall(r"```python\n(.*?)```", (folder / "card.md").read_text(), re.DOTALL)[1]
    onnx_code = onnx_code.replace("image.png", str(first))
    space: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.syspath_prepend(folder)
        exec(onnx_code, space)
        ((name, share), *_), *_ = sys.modules["predict"].predict([first], top=10)
        del sys.modules["predict"]
    assert str(space["logits"].argmax()) == name
    odds = np.exp(space["logits"][0] - space["logits"].max())
    assert odds.max() / odds.sum() == pytest.approx(share, abs=1e-4)


def test_near_duplicates_are_exported_when_asked(exported: Path) -> None:
    with Store.open(exported / "runs" / "nngpt.db", create=False) as store:
        (run,) = store.runs()
        (weaker,) = best_networks(store, run, 1, [2])
        (note,) = export_notes([weaker], read_places(store, [run])[1:])
        best = best_networks(store, run, 2, [], known=True)
    assert note.startswith("Attempt 3 did better") and "--known includes such" in note
    assert [network.attempt.id for network in best] == [1, 3], "3 was refused as a near-duplicate"


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
        timed = dict.fromkeys(("epochs", "claimed_latency_ms", "claimed_batch_ms"))
        assert {**row, **timed} == {**before, **timed}, "but for the seconds"
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
    done = nngpt(*["cycle", "export", "--best", "1", "--known", "--no-onnx", "--out", "best"])
    assert done.returncode == 0, done.stderr
    assert "the test accuracies are on the cards and do not rank" in done.stdout
    (card,) = (one_run / "best").glob("*/card.md")
    assert re.search(
        r"a full training by “nngpt cycle confirm” \(1 epoch\): .* of 10,000", card.read_text()
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
        "predict.py",
        "report.html",
        "weights.safetensors",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--out runs", "is not empty"),
        ("--out new --attempt 5", "attempt 5: was not trained and judged"),
        ("--out new --attempt 99", "no attempt 99"),
        ("--out new --sandbox weakest", "'weakest' is not one of"),
        ("--out runs/nngpt.db", "is a file, not a folder"),
    ],
)
def test_mistakes_are_one_line(nngpt: Nngpt, one_run: Path, options: str, said: str) -> None:
    done = nngpt("cycle", "export", *options.split())
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
