"""What several folders of tests use: the command line as a process, and a script of answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import warm
from PIL import Image

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 600.0
TWO_LAYERS = ROOT / "tests" / "two_layers.yaml"
"""A prompt template with which the embedded model writes networks of a few tokens."""
Nngpt = Callable[..., "subprocess.CompletedProcess[str]"]

GOOD = "16, 3, padding=1),\n    nn.ReLU(),\n    nn.MaxPool2d(2),\n    nn.LazyConv2d(32, 3),\n)"
ALSO_GOOD = "24, 5, stride=2),\n    nn.LazyBatchNorm2d(),\n    nn.GELU(),\n    nn.Dropout(0.1),\n)"
NEAR_TWIN = GOOD.replace("16", "20")
WEAK = "1, 1, stride=28),\n    nn.Tanh(),\n    nn.AvgPool2d(1),\n)"
NO_LAYER = "8, 3),\n    nn.LazyReLU(),\n)"
CUT_OFF = "8, 3),\n    nn.Re"
ANSWERS = (GOOD, ALSO_GOOD, NEAR_TWIN, WEAK, NO_LAYER, CUT_OFF)
"""Completions in `features` mode: two to admit, and one for each kind of refusal."""


def run_nngpt(
    folder: Path, arguments: Iterable[object], timeout_s: float = TIMEOUT_S, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder`, as a process that forks from a warm one (warm.py)."""
    return begin_nngpt(folder, arguments, **environment).wait(timeout_s)


def begin_nngpt(folder: Path, arguments: Iterable[object], **environment: str) -> warm.Started:
    """Start the same, and return while it runs."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return warm.Started(folder, [str(argument) for argument in arguments], variables)


def start_nngpt(
    folder: Path, arguments: Iterable[object], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in an interpreter of its own, for tests of starting itself."""
    return subprocess.run(
        [sys.executable, "-m", "nngpt", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def scripted_settings(folder: Path) -> list[str]:
    """Overrides that turn smoke-mnist into a run of seconds: `ANSWERS` as LLM, few images."""
    answers = "".join(json.dumps({"text": text}) + "\n" for text in ANSWERS)
    (folder / "answers.jsonl").write_text(answers)
    settings = {
        "llm.backend": "scripted",
        "llm.options.script": "answers.jsonl",
        "llm.batch_size": 6,
        "candidates.per_cycle": 6,
        "task.train_limit": 1000,
        "task.validation_limit": 200,
        "task.threshold": 0.5,
        "evaluation.threads": 1,
        "evaluation.limit_s": 60,
        "learning.enabled": "false",
    }
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def write_bright_and_dark(folder: Path) -> None:
    """Write a folder of images with two classes that any network tells apart."""
    for label, grey in (("dark", 40), ("light", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(30):
            Image.new("L", (28, 28), grey + number).save(folder / label / f"{number}.png")
