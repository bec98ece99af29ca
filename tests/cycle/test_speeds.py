"""The outcome of a run does not depend on how long trainings take; only the time it takes does."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from command_line import ALSO_GOOD, ANSWERS, GOOD
from crash.instant_executor import InstantExecutor
from crash.instant_learner import InstantLearner
from crash.instant_runs import ANOTHER
from quick_runs import SETTINGS, database, run_with, write_answers

from nngpt import config
from nngpt.cycle.parts import Parts, assemble
from nngpt.errors import ConfigError
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.records import Candidate, Retraining
from nngpt.reports.progress import ConsoleProgress
from nngpt.store import AttemptRecord, Store

TWINS = (GOOD.replace("16", "24"), ALSO_GOOD.replace("24", "48"), ANOTHER.replace("12", "14"))
"""Near-duplicates of others: which is refused depends on which was written first."""

NOVEL = [
    f"8, 3),\n    nn.{activation}(),\n    nn.LazyConv2d(16, 3),\n    nn.MaxPool2d(2),\n)"
    for activation in ("SiLU", "ELU", "Mish")
]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """The parts of runs in this folder, opened once."""
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, [*ANSWERS, ANOTHER, *TWINS, *NOVEL])
    database(tmp_path).parent.mkdir()
    with assemble(settings(), lambda _: None) as opened:
        yield opened


def settings(name: str = "run", *more: str) -> config.Config:
    sizes = ("llm.batch_size=5", "candidates.per_cycle=10", "cycles=2", "seed=25", f"name={name}")
    return config.load("smoke-mnist", [*SETTINGS, *sizes, *more])


def run(parts: Parts, *more: str, name: str = "run") -> list[tuple[Any, ...]]:
    """Run the loop; return what must not depend on the speed."""
    return run_with(parts, settings(name, *more))


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
        serial = run(parts, "cycles=1", name="serial")
    stages = {attempt[4] for attempt in serial[:-1]}
    assert {"novelty", "threshold", None} <= stages
    for seed in range(5):
        with speeds(seed, workers=2 + seed % 7):
            assert run(parts, "cycles=1", name=f"speed-{seed}") == serial


def test_the_loop_knows_what_is_stored(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates return what they have changed, without reading it again."""
    settled = list[AttemptRecord]()
    monkeypatch.setattr(ConsoleProgress, "settled", lambda _, attempt: settled.append(attempt))
    run(parts, "cycles=1")
    with Store.open(database(Path.cwd())) as store:
        stored = [store.attempt(attempt.id) for attempt in settled]
    assert len(settled) == 10

    def known(attempts: list[AttemptRecord]) -> list[AttemptRecord]:
        return [replace(attempt, updated="", retrainings=0) for attempt in attempts]

    assert known(settled) == known(stored)


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


def test_with_a_lag_the_outcome_is_the_same_at_any_speed(parts: Parts) -> None:
    lagging = ("candidates.lag=1", "cycles=3", "seed=18", "prompt.memory=5")
    with speeds(0, workers=1):
        serial = run(parts, *lagging, name="serial")
    bare = {(cycle, bare) for cycle, _, _, _, _, _, bare, *_ in serial[:-1]}
    assert bare == {(1, True), (2, True), (3, False)}
    assert {1, 2} <= serial[-1].keys(), "cycle 3 is written with the first of them"
    asked = [{outcome[5] for outcome in serial[:-1] if outcome[0] == cycle} for cycle in (1, 2, 3)]
    assert asked[0] == asked[1] != asked[2], "and with the tries of cycle 1"
    for seed in range(3):
        with speeds(seed, workers=2 + seed):
            assert run(parts, *lagging, name=f"speed-{seed}") == serial


def test_with_a_lag_writing_training_and_fine_tuning_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cycle 1 trains once cycle 2 is written; its fine-tuning ends once cycle 2 has trained."""
    written, learning, trained = (threading.Event() for _ in range(3))
    batches, begun = count(1), count(1)
    generate, evaluate = ScriptedLLM.generate, InstantExecutor.evaluate
    learn = InstantLearner.learn

    def generated(*arguments: Any) -> Any:
        if next(batches) == 2:
            written.set()
        return generate(*arguments)

    def evaluated(*arguments: Any) -> Any:
        if next(begun) <= 10:
            assert written.wait(timeout=30)
            return evaluate(*arguments)
        assert learning.wait(timeout=30)
        trained.set()
        return evaluate(*arguments)

    def learned(*arguments: Any) -> Any:
        learning.set()
        assert trained.wait(timeout=30)
        return learn(*arguments)

    monkeypatch.setattr(ScriptedLLM, "generate", generated)
    monkeypatch.setattr(InstantExecutor, "evaluate", evaluated)
    monkeypatch.setattr(InstantLearner, "learn", learned)
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, [GOOD.replace("16", str(width)) for width in range(32, 64)])
    database(tmp_path).parent.mkdir()
    overlapping = ("candidates.lag=1", "llm.batch_size=10", "evaluation.retrain=false")
    with assemble(settings("run", *overlapping), lambda _: None) as parts:
        run(parts, *overlapping)


@pytest.mark.parametrize(
    "setting", ["candidates.until_admitted=3", "candidates.repairs=1", "candidates.overlap=false"]
)
def test_what_depends_on_the_order_of_settling_needs_no_lag(setting: str) -> None:
    with pytest.raises(ConfigError, match="lag needs overlap"):
        settings("run", "candidates.lag=1", setting)
    with pytest.raises(ConfigError, match="early_stop is checked between cycles"):
        settings("run", "candidates.lag=1", "evaluation.early_stop=true", "evaluation.epochs=3")
