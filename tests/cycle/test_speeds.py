"""The outcome of a run does not depend on how long trainings take; only the time it takes does."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import ALSO_GOOD, ANSWERS, GOOD
from crash.instant_executor import InstantExecutor
from crash.instant_runs import ANOTHER
from quick_runs import SETTINGS, database, write_answers
from rich.console import Console

from nngpt import config
from nngpt.cycle.context import RunContext
from nngpt.cycle.loop import Loop
from nngpt.cycle.meter import Energy, Meter, TimeLimit
from nngpt.cycle.parts import Parts, assemble
from nngpt.records import Candidate, Retraining
from nngpt.reports.progress import ConsoleProgress
from nngpt.store import AttemptRecord, Store

TWINS = (GOOD.replace("16", "24"), ALSO_GOOD.replace("24", "48"), ANOTHER.replace("12", "14"))
"""Near-duplicates of others: which is refused depends on which was written first."""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """The parts of runs in this folder, opened once."""
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, [*ANSWERS, ANOTHER, *TWINS])
    database(tmp_path).parent.mkdir()
    with assemble(settings(), lambda _: None) as opened:
        yield opened


def settings(name: str = "run", *more: str) -> config.Config:
    sizes = ("llm.batch_size=5", "candidates.per_cycle=10", "cycles=2", f"name={name}")
    return config.load("smoke-mnist", [*SETTINGS, *sizes, *more])


def run(parts: Parts, *more: str, name: str = "run") -> list[tuple[Any, ...]]:
    """Run the loop; return what must not depend on the speed."""
    chosen, console = settings(name, *more), Console(quiet=True)
    dump = chosen.model_dump(mode="json")
    with Store.open(database(Path.cwd())) as store, ConsoleProgress(console) as progress:
        begun = store.start_run(name, dump, chosen.identity(), chosen.seed)
        with store.lease(begun.id) as lease:
            limit, meter = TimeLimit(None), Meter(Energy())
            Loop(RunContext(chosen, parts, store, lease, progress, meter, limit)).run()
        attempts = store.attempts(begun.id, with_code=True)
        adapters = {cycle: a.pairs for cycle, a in store.adapters(begun.id).items()}
    first = attempts[0].id
    return [*(outcome(attempt, first) for attempt in attempts), adapters]


def outcome(attempt: AttemptRecord, first: int) -> tuple[Any, ...]:
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


@contextmanager
def speeds(seed: int, workers: int) -> Iterator[None]:
    """Let trainings take other times, which end in another order."""
    draw = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InstantExecutor, "workers", workers)
        patch.setattr(InstantExecutor, "pause", lambda *_: draw.random() ** 3 / 20)
        yield


def test_the_admitted_are_the_same_at_any_speed(parts: Parts) -> None:
    with speeds(0, workers=1):
        serial = run(parts, name="serial")
    stages = {attempt[4] for attempt in serial[:-1]}
    assert {"novelty", "threshold", "duplicate", "build", "parse", None} <= stages
    for seed in range(20):
        with speeds(seed, workers=2 + seed % 7):
            assert run(parts, name=f"speed-{seed}") == serial


def test_retrainings_begin_at_once(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker retrains at the same time, or the barrier breaks."""
    workers, barrier = 3, threading.Barrier(3)
    real = InstantExecutor.retrain

    def retrain(self: InstantExecutor, candidate: Candidate, seed: int) -> Retraining:
        if not barrier.broken and len(met) < workers:
            met.append(candidate.content_hash)
            barrier.wait(timeout=30)
        return real(self, candidate, seed)

    met: list[str] = []
    monkeypatch.setattr(InstantExecutor, "retrain", retrain)
    monkeypatch.setattr(InstantExecutor, "workers", workers)
    run(parts, "cycles=1", "candidates.per_cycle=15")
    assert len(met) == workers and not barrier.broken
