"""Trainings that are stopped because they cannot become good enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Nngpt, scripted_settings
from execution_samples import HONEST, altered, candidate, make_task

from nngpt.config import EvaluationConfig
from nngpt.prediction.places import Place
from nngpt.prediction.predictor import Predictor
from nngpt.prediction.recheck import recheck
from nngpt.prediction.runs import History
from nngpt.prediction.stopping import Foresight, Verdict, replay
from nngpt.records import EpochResult, Evaluation, Refusal, Stage
from nngpt.sandbox.executors.local import LocalExecutor

SVHN = Place("img-classification", "svhn", "acc")
CIFAR = Place("img-classification", "cifar-10", "acc")
TASK = replace(make_task(), dataset="svhn")
CURVE = (0.3, 0.35, 0.37, 0.38, 0.4)
STANDS_STILL = altered('lr=prm["lr"]', "lr=0.0")
Start = Callable[..., LocalExecutor]


def foresight(file: Path, threshold: float, run_on: float = 0.0) -> Foresight:
    return Foresight(Predictor(file), SVHN, replace(TASK, threshold=threshold), 10, run_on)


def test_replayed_runs_are_stopped_and_few_of_the_best_are_lost(history: History) -> None:
    found = replay(history, (1, 2, 5), lambda _: None)
    assert found.runs == len(history.runs) and found.top >= found.runs / 10
    assert found.saved[0] <= 0.98 * found.stopped[0]
    assert 0 < found.stopped[0] < 1
    assert found.lost[0] < found.stopped[0]


def test_a_hopeless_training_is_stopped_with_its_interval(predictor_file: Path) -> None:
    watch = foresight(predictor_file, 0.95).watch(candidate(HONEST), 1)
    assert watch.look([]) is None
    refusal = watch.look(CURVE)
    assert isinstance(refusal, Refusal) and refusal.stage is Stage.THRESHOLD
    assert refusal.reason.startswith("stopped after epoch 5 of 10: ")
    assert (
        refusal.reason.endswith("the threshold is 95.0%")
        and "is expected within 50 epochs, at most 8" in refusal.reason
    )
    assert refusal.detail == "accuracies: 0.3000, 0.3500, 0.3700, 0.3800, 0.4000"
    assert watch.would_stop is None


def test_a_hopeful_one_goes_on(predictor_file: Path) -> None:
    watch = foresight(predictor_file, 0.7).watch(candidate(HONEST), 1)
    assert watch.look(CURVE) is None


def test_a_random_share_runs_on_and_says_what_was_expected(predictor_file: Path) -> None:
    spared = foresight(predictor_file, 0.95, run_on=1.0).watch(candidate(HONEST), 1)
    assert spared.look(CURVE) is None and spared.would_stop is not None
    first = spared.would_stop
    assert spared.look([*CURVE, 0.2]) is None and spared.would_stop == first
    some = foresight(predictor_file, 0.95, run_on=0.3)
    drawn = [some.watch(candidate(HONEST), seed).spared for seed in range(200)]
    assert 40 < sum(drawn) < 80
    assert drawn == [some.watch(candidate(HONEST), seed).spared for seed in range(200)]


def test_the_executor_asks_after_each_epoch(start: Start, predictor_file: Path) -> None:
    executor = start(epochs=7)
    seen: list[int] = []

    class Recording(Foresight):
        def verdict(self, candidate: object, accuracies: object) -> Verdict:
            seen.append(len(accuracies))  # type: ignore[arg-type]
            return super().verdict(candidate, accuracies)  # type: ignore[arg-type]

    def ask(code: str, threshold: float, run_on: float) -> Evaluation | Refusal:
        task = replace(TASK, dataset="cifar10", threshold=threshold)
        seen.clear()
        executor.foresight = Recording(Predictor(predictor_file), CIFAR, task, 7, run_on)
        try:
            return executor.evaluate(candidate(code), 1)
        finally:
            executor.foresight = None

    hopeful = ask(HONEST, 0.0, 0.0)
    assert isinstance(hopeful, Evaluation) and seen == [1, 2, 3, 4, 5, 6]
    protocol = json.loads(hopeful.protocol)
    assert "would_stop" not in protocol and 0 < protocol["ceiling"] <= 1
    stopped = ask(STANDS_STILL, 1.0, 0.0)
    assert isinstance(stopped, Refusal) and stopped.stage is Stage.THRESHOLD
    assert seen == list(range(1, len(seen) + 1)) and len(seen) < 7
    spared = ask(STANDS_STILL, 1.0, 1.0)
    assert isinstance(spared, Evaluation) and len(spared.epochs) == 7
    assert json.loads(spared.protocol)["would_stop"] == stopped.reason


def trained(accuracy: float, **protocol: object) -> Evaluation:
    epoch = EpochResult(1, accuracy, round(accuracy * 1000), 1000, 1.0)
    return Evaluation((epoch,), 1, 1.0, "cpu", 1, "full", protocol=json.dumps(protocol))


def test_ceilings_are_checked_against_what_was_reached() -> None:
    held = [trained(0.5), *10 * [trained(0.71, ceiling=0.7)], trained(0.4, ceiling=0.9)]
    found = recheck(held, 0.6)
    assert (found.checked, found.broken) == (11, 0), "one point is the chance of 1,000 images"
    assert found.reliable and found.line.startswith("ceilings held in 11/11 = 100%")
    spared = [trained(0.9, ceiling=0.5, would_stop="…"), trained(0.4, ceiling=0.5, would_stop="…")]
    found = recheck([*held, *spared], 0.6)
    assert (found.checked, found.broken, found.spared, found.lost) == (13, 1, 2, 1)
    assert found.reliable and "1/2 = 50%" in found.line, "one of 13 may be chance"
    assert not recheck([*held, *3 * spared], 0.6).reliable
    assert recheck([trained(0.5)], 0.6).line == "" and recheck([], 0.6).reliable


def test_a_run_checks_its_ceilings_after_each_cycle(
    predictor_file: Path, nngpt: Nngpt, tmp_path: Path
) -> None:
    settings = {
        "evaluation.epochs": 2,
        "evaluation.early_stop": "true",
        "evaluation.predictor": predictor_file,
        "task.threshold": 0.2,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = nngpt("cycle", "run", "smoke-mnist", "--cycles", 2, *scripted_settings(tmp_path), *sets)
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert printed.count("Stopping early: ceilings held in") == 1
    assert printed.index("Stopping early: ceilings") > printed.index("Cycle 2 of 2")


def test_what_the_predictor_says_nothing_about() -> None:
    for epochs in (1, 51):
        with pytest.raises(ValueError, match="early_stop needs epochs of 2 to 50"):
            EvaluationConfig(early_stop=True, epochs=epochs)
    with pytest.raises(ValueError, match="early_stop looks at one training"):
        EvaluationConfig(early_stop=True, epochs=5, seeds=2)
    assert "early_stop" not in EvaluationConfig().protocol()
    assert EvaluationConfig(early_stop=True, epochs=2).protocol()["early_stop"] is True
