"""Runs of the real loop in this process, in which training takes milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from nngpt import config
from nngpt.cli.output import console
from nngpt.cycle.context import RunContext
from nngpt.cycle.loop import Loop
from nngpt.cycle.meter import Energy, Meter, TimeLimit
from nngpt.cycle.parts import Parts
from nngpt.cycle.runner import check_same_settings, run_loop
from nngpt.reports.progress import ConsoleProgress
from nngpt.store import AttemptRecord, Store

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


def run_with(parts: Parts, settings: config.Config) -> list[tuple[Any, ...]]:
    """Run with parts that are open; return what must not depend on the speed of trainings."""
    dump, quiet = settings.model_dump(mode="json"), Console(quiet=True)
    with Store.open(database(Path.cwd())) as store, ConsoleProgress(quiet) as progress:
        run = store.start_run(settings.name, dump, config.identity_of(settings), settings.seed)
        with store.lease(run.id) as lease:
            limit, meter = TimeLimit(None), Meter(Energy())
            Loop(RunContext(settings, parts, store, lease, progress, meter, limit)).run()
        attempts = store.attempts(run.id)
        adapters = {cycle: adapter.pairs for cycle, adapter in store.adapters(run.id).items()}
    return [*(outcome(attempt, attempts[0].id) for attempt in attempts), adapters]


def outcome(attempt: AttemptRecord, first: int) -> tuple[Any, ...]:
    """What an attempt came to, without ids: `first` is the run's first one."""
    novelty, refusal = attempt.novelty, attempt.refusal
    nearest = novelty and novelty.nearest
    if nearest and nearest.startswith("attempt "):
        nearest = f"attempt {int(nearest.removeprefix('attempt ')) - first}"
    return (
        *(attempt.cycle, attempt.place, attempt.completion.text, attempt.state),
        *(refusal and refusal.stage, attempt.prompt_hash, attempt.completion.adapter is None),
        *(novelty and novelty.jaccard, nearest),
        attempt.evaluation and attempt.evaluation.accuracy,
        attempt.retraining and attempt.retraining.accuracy,
    )
