"""The code of docs/python.md and of the notebook docs/nngpt.ipynb runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from cells import run_cells
from command_line import ANSWERS, ROOT, write_bright_and_dark
from quick_runs import quick_run, write_answers

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
NOTEBOOK = json.loads((ROOT / "docs" / "nngpt.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]

SMALL = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
        )
        self.head = nn.Linear(128, num_classes)

    def forward(self, x):
        return self.head(self.layers(x))
"""
MINE = """
name: mine
task: {dataset: mnist, train_limit: 100, validation_limit: 100, threshold: 0.4}
llm: {backend: scripted, batch_size: 6, options: {script: answers.jsonl}}
prompt: {template: features}
candidates: {per_cycle: 6}
learning: {enabled: false}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page takes for granted: a run, networks, a configuration."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    write_answers(here, ANSWERS)
    (here / "my_network.py").write_text(SMALL)
    (here / "mine.yaml").write_text(MINE)
    shutil.copytree(ROOT / "tests" / "networks", here / "networks")
    write_bright_and_dark(here / "shapes")
    copied = (here / "networks" / "plain.py").read_text()
    (here / "networks" / "copied.py").write_text(f"# the same\n{copied}")
    quick_run(here, 1, "llm.batch_size=6", "candidates.per_cycle=6")
    return here


def test_the_page(folder: Path) -> None:
    printed = run_cells(folder, BLOCKS)
    assert re.search(r"\d\.\d%, at least \d+\.\d%, 1,370 parameters", printed)
    assert re.search(r"(plain|copied)\.py ≈ (copied|plain)\.py 1\.00 \(", printed)
    assert (folder / "best" / "predict.py").is_file()
    assert "BSD-3-Clause" in printed and "runs/reports/smoke-mnist-1/report.html" in printed
    assert (folder / "best.py").read_text().startswith("import torch")
    assert "no runs here elsewhere/nngpt.db Start one" in printed


def test_the_notebook(tmp_path: Path) -> None:
    folder = tmp_path / "notebook"
    folder.mkdir()
    printed = run_cells(folder, CELLS)
    assert "<h3>Run 1: waves (done), mnist</h3>" in printed
    assert "Trained(accuracy=0." in printed and "parameters=1370" in printed
