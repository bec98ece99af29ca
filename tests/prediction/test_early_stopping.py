"""Trainings that are stopped because they cannot become good enough."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Nngpt, scripted_settings
from sandbox_fixtures import DEVICE
from sandbox_samples import HONEST, altered, candidate, make_task

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.prediction.early_stopping import ThresholdPruner, replay, validation
from nngpt.prediction.places import Place
from nngpt.prediction.predictor import Predictor
from nngpt.prediction.runs import History
from nngpt.protocols import Verdict
from nngpt.records import Candidate, EpochResult, Evaluation, Refusal, Stage
from nngpt.sandbox.executors.local import LocalExecutor, create

SVHN = Place("img-classification", "svhn", "acc")
CIFAR = Place("img-classification", "cifar-10", "acc")
TASK = replace(make_task(), dataset="svhn")
CURVE = (0.3, 0.35, 0.37, 0.38, 0.4)
STANDS_STILL = altered('lr=prm["lr"]', "lr=0.0")
Start = Callable[..., LocalExecutor]


def make_pruner(file: Path, threshold: float, run_on: float = 0.0) -> ThresholdPruner:
    return ThresholdPruner(Predictor(file), SVHN, replace(TASK, threshold=threshold), 10, run_on)


def test_replayed_runs_are_stopped_and_few_of_the_best_are_lost(history: History) -> None:
    ceiling, high, point = replay(history, (1, 2, 5), lambda _: None)
    assert ceiling.runs == len(history.runs) and ceiling.top >= ceiling.runs / 10
    assert ceiling.saved[0] <= 0.98 * ceiling.stopped[0]
    assert 0 < ceiling.stopped[0] <= high.stopped[0] <= point.stopped[0] < 1
    assert ceiling.lost[0] < ceiling.stopped[0] and ceiling.lost[0] <= point.lost[0]


def test_a_hopeless_training_is_stopped_with_its_interval(predictor_file: Path) -> None:
    pruner = make_pruner(predictor_file, 0.95)
    assert pruner.should_stop(candidate(HONEST), 1, []) == Verdict()
    verdict = pruner.should_stop(candidate(HONEST), 1, CURVE)
    refusal = verdict.refusal
    assert isinstance(refusal, Refusal) and refusal.stage is Stage.THRESHOLD
    assert refusal.reason.startswith("stopped after epoch 5 of 10: ")
    assert (
        refusal.reason.endswith("the threshold is 95.0%")
        and "is expected within 50 epochs, at most 8" in refusal.reason
    )
    assert refusal.detail == "accuracies: 0.3000, 0.3500, 0.3700, 0.3800, 0.4000"
    assert verdict.would_stop is None and verdict.ceiling is not None


def test_a_hopeful_training_continues(predictor_file: Path) -> None:
    verdict = make_pruner(predictor_file, 0.7).should_stop(candidate(HONEST), 1, CURVE)
    assert verdict == Verdict(ceiling=verdict.ceiling) and verdict.ceiling is not None
    assert verdict.ceiling >= 0.7


def test_a_random_share_is_exempt_and_records_the_reason(predictor_file: Path) -> None:
    verdict = make_pruner(predictor_file, 0.95, run_on=1.0).should_stop(candidate(HONEST), 1, CURVE)
    assert verdict.refusal is None and verdict.would_stop is not None
    some = make_pruner(predictor_file, 0.95, run_on=0.3)
    drawn = [some.is_exempt(candidate(HONEST), seed) for seed in range(200)]
    assert 40 < sum(drawn) < 80
    assert drawn == [some.is_exempt(candidate(HONEST), seed) for seed in range(200)]


def test_the_executor_consults_its_pruner_after_each_epoch(
    start: Start, splits: Splits, predictor_file: Path
) -> None:
    start()  # keeps the zygote warm
    seen: list[int] = []

    class Recording(ThresholdPruner):
        def should_stop(
            self, candidate: Candidate, seed: int, accuracies: Sequence[float]
        ) -> Verdict:
            seen.append(len(accuracies))
            return super().should_stop(candidate, seed, accuracies)

    def train(code: str, threshold: float, run_on: float) -> Evaluation | Refusal:
        task = replace(TASK, dataset="cifar10", threshold=threshold)
        seen.clear()
        pruner = Recording(Predictor(predictor_file), CIFAR, task, 7, run_on)
        with create(splits, EvaluationConfig(epochs=7, device=DEVICE), task, pruner) as executor:
            assert executor.pruner is pruner
            return executor.evaluate(candidate(code), 1)

    hopeful = train(HONEST, 0.0, 0.0)
    assert isinstance(hopeful, Evaluation) and seen == [1, 2, 3, 4, 5, 6]
    protocol = json.loads(hopeful.protocol)
    assert "would_stop" not in protocol and 0 < protocol["ceiling"] <= 1
    stopped = train(STANDS_STILL, 1.0, 0.0)
    assert isinstance(stopped, Refusal) and stopped.stage is Stage.THRESHOLD
    epoch = len(seen)
    assert seen == list(range(1, epoch + 1)) and epoch < 7
    exempt = train(STANDS_STILL, 1.0, 1.0)
    assert isinstance(exempt, Evaluation) and len(exempt.epochs) == 7
    assert seen == list(range(1, epoch + 1)), "a recorded reason is final"
    assert json.loads(exempt.protocol)["would_stop"] == stopped.reason


def trained(accuracy: float, **protocol: object) -> Evaluation:
    epoch = EpochResult(1, accuracy, round(accuracy * 1000), 1000, 1.0)
    return Evaluation((epoch,), 1, 1.0, "cpu", 1, "full", protocol=json.dumps(protocol))


def test_ceilings_are_checked_against_what_was_reached() -> None:
    held = [trained(0.5), *10 * [trained(0.71, ceiling=0.7)], trained(0.4, ceiling=0.9)]
    found = validation(held, 0.6)
    assert (found.checked, found.broken) == (11, 0), "one point is the chance of 1,000 images"
    assert found.reliable and found.line.startswith("ceilings held in 11/11 = 100%")
    exempt = [trained(0.9, ceiling=0.5, would_stop="…"), trained(0.4, ceiling=0.5, would_stop="…")]
    found = validation([*held, *exempt], 0.6)
    assert (found.checked, found.broken, found.exempt, found.lost) == (13, 1, 2, 1)
    assert found.reliable and "1/2 = 50%" in found.line, "one of 13 may be chance"
    assert not validation([*held, *3 * exempt], 0.6).reliable
    assert validation([trained(0.5)], 0.6).line == "" and validation([], 0.6).reliable


def test_an_unreliable_pruner_stops_nothing_until_it_is_reliable_again(
    predictor_file: Path,
) -> None:
    pruner = make_pruner(predictor_file, 0.95)
    stopped = pruner.should_stop(candidate(HONEST), 1, CURVE)
    broken = 4 * [trained(0.9, ceiling=0.5)]
    assert pruner.validate(broken).endswith("; switched off from here on")
    assert pruner.should_stop(candidate(HONEST), 1, CURVE) == Verdict()
    assert pruner.validate([]) == ""
    assert pruner.should_stop(candidate(HONEST), 1, CURVE) == stopped


def test_a_run_checks_its_ceilings_after_each_cycle(
    predictor_file: Path, nngpt: Nngpt, tmp_path: Path
) -> None:
    settings = {
        "evaluation.epochs": 2,
        "evaluation.early_stop": "true",
        "evaluation.predictor": predictor_file,
        "task.threshold": 0.2,
        "task.train_limit": 300,
        "task.validation_limit": 100,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = nngpt("cycle", "run", "smoke-mnist", "--cycles", 2, *scripted_settings(tmp_path), *sets)
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert printed.count("Stopping early: ceilings held in") == 1
    assert printed.index("Stopping early: ceilings") > printed.index("Cycle 2 of 2")


def test_early_stopping_refuses_what_it_cannot_predict() -> None:
    for epochs in (1, 51):
        with pytest.raises(ValueError, match="early_stop needs epochs of 2 to 50"):
            EvaluationConfig(early_stop=True, epochs=epochs)
    with pytest.raises(
        ValueError, match="early_stop follows one training: it needs seeds: 1 and no folds"
    ):
        EvaluationConfig(early_stop=True, epochs=5, seeds=2)
    assert "early_stop" not in EvaluationConfig().protocol()
    assert EvaluationConfig(early_stop=True, epochs=2).protocol()["early_stop"] is True
