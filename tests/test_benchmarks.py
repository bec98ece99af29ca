"""Benchmarks are run by hand: here that what they import is still there, and the search's parts."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from benchmark_modules import BENCHMARKS, load
from PIL import Image


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark of the search."""
    return load("search", monkeypatch)


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_a_benchmark_can_be_started(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(load(name, monkeypatch).main)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise around one colour per class."""
    root, random = tmp_path_factory.mktemp("benchmark") / "colours", np.random.default_rng(0)
    for number in range(90):
        image = random.integers(0, 120, (32, 32, 3), dtype=np.uint8)
        image[..., number % 3] += 120
        file = root / f"class{number % 3}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return root


@pytest.mark.parametrize(
    ("contestant", "seconds"),
    [("resnet20", 0.8), ("resnet18", 0.8), ("mobilenet", 0.8), ("optuna", 1.2), ("lemur", 2.0)],
)
def test_a_baseline_makes_a_row_in_its_budget(
    contestant: str, seconds: float, images: Path, search: ModuleType
) -> None:
    job = search.Job(
        minutes=seconds / 120, seed=100, data=str(images), contestant=contestant, batch=8
    )
    row = search.row(job, began=time.process_time())
    assert 0 <= row["correct"] <= row["total"] == 9
    assert row["images"] > 0
    assert row["cpu_s"] >= seconds
    assert row["parameters"] > 1000
    assert json.loads(json.dumps(row)) == row


def test_rows_that_are_there_are_not_made_again(
    search: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanted(*options: str) -> list[tuple[float, int, str, str]]:
        monkeypatch.setattr(sys, "argv", ["search.py", "run", "--out", str(rows), *options])
        found = search.wanted(search.parse())
        return [(job.minutes, job.seed, job.data, job.contestant) for job in found]

    rows = tmp_path / "rows.jsonl"
    every = wanted()
    assert len(every) == len(set(every)) == 3 * 3 * 3 * 5
    assert every[0] == (10, 1, "cifar10", "resnet20")
    done = search.Job(minutes=10.0, seed=1, data="cifar10", contestant="resnet20")
    rows.write_text(json.dumps({**vars(done), "correct": 7, "total": 9}) + "\n")
    assert wanted() == every[1:]
    assert wanted("--again") == every
    with pytest.raises(SystemExit):
        wanted("--contestants", "nngpt", "--processes", "2")
    with pytest.raises(SystemExit):
        wanted("--lr", "0.1")


LATER = ("mnist", "resnet20")


def test_the_report_ranks_complete_blocks_only(
    search: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        {
            **{"minutes": minutes, "data": data, "seed": seed, "contestant": contestant},
            **{"correct": correct + seed, "total": 1000, "parameters": 10 * correct},
            **(
                {"wall_s": 630 * minutes / 10}
                if contestant == "nngpt"
                else {"cpu_s": 120 * minutes}
            ),
        }
        for minutes in (10.0, 20.0)
        for data in ("cifar10", "mnist")
        for seed in (1, 2, 3, 100)
        for contestant, correct in (("nngpt", 900), ("resnet20", 950 if data == "mnist" else 800))
    ]
    file, figure = tmp_path / "rows.jsonl", tmp_path / "figure.png"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows[:-3]))  # mnist, seed 3, resnet20
    monkeypatch.setattr(sys, "argv", ["search.py", "report", str(file), "--figure", str(figure)])
    search.main()
    told = capsys.readouterr().out
    assert "Complete blocks (minutes, data set, seed): 11, of them 5" in told
    assert "| nngpt search | 1.5 \\[1.5, 1.5\\] (n = 2) |" in told
    assert "5.0 (mnist, 20 min) | 9 k | 105% |" in told
    assert "90.2% \\[88.2–91.9\\], n = 3" in told
    assert "95.2% (95.1, 95.2), n = 2 |" in told
    assert figure.stat().st_size > 1000
    figure.unlink()
    one_time = [r for r in rows if r["minutes"] == 10 and (r["data"], r["contestant"]) != LATER]
    file.write_text("".join(json.dumps(row) + "\n" for row in one_time))
    search.main()
    told = capsys.readouterr().out
    assert "Complete blocks (minutes, data set, seed): 3, of them 0" in told
    assert figure.stat().st_size > 1000
