"""Runs of the real loop in this process, in which training takes milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nngpt import config
from nngpt.cli.output import console
from nngpt.cycle.runner import check_same_settings, run_loop
from nngpt.reports.progress import ConsoleProgress
from nngpt.store import Store

SETTINGS = (
    "llm.backend=scripted",
    "llm.options.script=answers.jsonl",
    "task.train_limit=100",
    "task.validation_limit=100",
    "task.threshold=0.4",
    "evaluation.executor=crash.instant_executor",
    "learning.learner=crash.instant_learner",
)


def database(folder: Path) -> Path:
    return folder / "runs" / "nngpt.db"


def write_answers(folder: Path, texts: Sequence[str]) -> None:
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (folder / "answers.jsonl").write_text("".join(lines))


def quick_run(folder: Path, cycles: int, *overrides: str, minutes: float | None = None) -> None:
    """Run or resume as `nngpt cycle run` does; the current folder must be `folder`."""
    assert Path.cwd() == folder
    settings = config.load("smoke-mnist", [*SETTINGS, f"cycles={cycles}", *overrides])
    if database(folder).exists():
        with Store.open(database(folder)) as store:
            if store.runs():  # else only an index of blocks is in it
                check_same_settings(store.run(settings.name), settings)
    with ConsoleProgress(console(stderr=True)) as progress:
        run_loop(settings, progress, minutes=minutes)
