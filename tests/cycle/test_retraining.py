"""With `retrain`, a network is worth what our own loop makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cycle.retraining_executor import WORTH
from quick_runs import database, quick_run, write_answers

from nngpt.generation.prompts.known import from_run
from nngpt.records import Stage, State
from nngpt.reports.analysis.best import best_networks
from nngpt.reports.attempts import attempt_line
from nngpt.reports.live import candidates
from nngpt.store import AttemptRecord, Store

ANSWERS = (
    "4, 3),\n    nn.Mish(),\n    nn.LazyConv2d(9, 1),\n    nn.AvgPool2d(2),\n)",
    "16, 3, padding=1),\n    nn.ReLU(),\n    nn.MaxPool2d(2),\n)",
    "24, 5, stride=2),\n    nn.GELU(),\n    nn.Dropout(0.1),\n)",
    "8, 7, stride=3),\n    nn.SiLU(),\n    nn.LazyConv2d(12, 1),\n)",
    "6, 5),\n    nn.LazyBatchNorm2d(),\n    nn.ELU(),\n    nn.Dropout(0.3),\n)",
)
SETTINGS = (
    *("evaluation.executor=cycle.retraining_executor", "candidates.per_cycle=5"),
    *("llm.batch_size=5", "learning.enabled=false", "novelty.threshold=0.95"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's folder, with the LLM's script."""
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, ANSWERS)
    return tmp_path


def trained(folder: Path) -> list[AttemptRecord]:
    """Return the attempts of the run in the order of `WORTH`."""
    with Store.open(database(folder), create=False) as store:
        attempts = store.attempts(1)
    return [next(a for a in attempts if layer in a.completion.text) for layer in WORTH]


def test_the_threshold_holds_for_our_own_loop(folder: Path) -> None:
    quick_run(folder, 1, *SETTINGS)
    good, weak, long, broken, fair = trained(folder)
    assert good.state == fair.state == State.ADMITTED
    assert weak.refusal is not None and weak.refusal.stage == Stage.THRESHOLD
    assert weak.refusal.reason == (
        "accuracy 93.0% with its own training loop, but 8.0% with ours is below the threshold 40.0%"
    )
    assert long.refusal is not None and long.refusal.stage == Stage.TRAIN
    assert long.refusal.reason == (
        "extra epochs: it trained 5.0 × as long as our own loop, the limit is 4 ×"
    )
    assert broken.refusal is not None and broken.refusal.stage == Stage.TRAIN
    assert broken.refusal.reason.startswith("our own loop failed at train: training failed")
    assert weak.retraining is not None and weak.retraining.accuracy == 0.08, "it is stored"


def test_an_ablation_admits_below_the_threshold(folder: Path) -> None:
    quick_run(folder, 1, *SETTINGS, "without=[threshold]")
    states = [attempt.state for attempt in trained(folder)]
    admitted, refused = State.ADMITTED, State.REFUSED
    assert states == [admitted, admitted, refused, refused, admitted]


def test_rankings_and_prompts_take_what_our_own_loop_made(folder: Path) -> None:
    quick_run(folder, 1, *SETTINGS)
    good, *_, fair = trained(folder)
    with Store.open(database(folder), create=False) as store:
        run, admitted = store.run(1), store.admitted(1)
        assert [n.attempt.id for n in best_networks(store, run, 2, ())] == [good.id, fair.id]
        assert {n.name: n.accuracy for n in from_run(store, admitted)} == {
            f"attempt {good.id}": 0.7,
            f"attempt {fair.id}": 0.6,
        }
        with store.database.read() as session:
            assert candidates.best(session, 1) == [good.id, fair.id]
        (summary,) = store.summary(1)
    assert summary.best == (0.7, 200, ()) and summary.retrained
    assert summary.accuracies == (0.93,) * 5
    assert good.result == (0.7, 200, ())
    line = attempt_line(good).plain
    assert "accuracy 70.0%" in line and "its own loop: 93.0%" in line
