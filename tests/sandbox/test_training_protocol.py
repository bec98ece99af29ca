"""Training protocols of the configuration, with real processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sandbox_samples import HONEST, altered, candidate, make_splits, make_task

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.errors import ExecutionError
from nngpt.records import Evaluation, Refusal, Stage
from nngpt.reports.attempts import outcome_line
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.folds import Fold, Folds

Start = Callable[..., LocalExecutor]

STEP = "            self.optimizer.step()\n"
CRAMS = altered(
    "        for inputs, labels in train_data:\n",
    "        for inputs, labels in list(train_data) * 8:\n",
)


def test_half_precision_and_memory_format_learn_as_well(start: Start) -> None:
    executor = start(precision="bfloat16", memory_format="channels_last", latency=True, epochs=2)
    result = executor.evaluate(candidate(), 1)
    assert isinstance(result, Evaluation), result
    assert result.accuracy > 0.9
    assert result.claimed_latency_ms is not None and result.claimed_latency_ms > 0
    protocol = json.loads(result.protocol)
    assert (protocol["precision"], protocol["memory_format"]) == ("bfloat16", "channels_last")


def test_half_precision_reaches_the_network(start: Start) -> None:
    code = altered(
        "return self.classifier(torch.flatten(self.features(x), 1))",
        "y = self.classifier(torch.flatten(self.features(x), 1))\n"
        "        if y.dtype != torch.bfloat16: raise RuntimeError(str(y.dtype))\n"
        "        return y",
    )
    executor = start(precision="bfloat16", memory_format="channels_last", latency=True, epochs=2)
    assert isinstance(executor.evaluate(candidate(code), 1), Evaluation)
    refusal = start().evaluate(candidate(code), 1)
    assert isinstance(refusal, Refusal)
    assert "float32" in refusal.reason


def test_operations_and_batches_are_reported(start: Start) -> None:
    result = start().evaluate(candidate(), 1)
    assert isinstance(result, Evaluation)
    convolution, linear = 2 * 8 * 9 * 12 * 12, 2 * 8 * 36 * 4
    assert result.claimed_flops == convolution + linear
    assert result.claimed_batches == 20
    assert result.cpu_s is not None and result.cpu_s > 0


def test_seeds_and_folds_are_pooled(start: Start) -> None:
    result = start(folds=3, seeds=2).evaluate(candidate(), 4)
    assert isinstance(result, Evaluation), result
    assert [(t.fold, t.seed) for t in result.trials] == [(f, s) for f in (1, 2, 3) for s in (4, 5)]
    assert result.epochs[-1].total == 2 * (320 + 97) == sum(t.total for t in result.trials)
    correct = sum(round(t.accuracy * t.total) for t in result.trials)
    assert result.epochs[-1].correct == correct
    assert result.accuracy == correct / result.epochs[-1].total
    each = tuple(trial.accuracy for trial in result.trials)
    assert result.result == (result.accuracy, 320 + 97, each)


def test_seeds_do_not_multiply_the_images(start: Start) -> None:
    result = start(seeds=3).evaluate(candidate(), 4)
    assert isinstance(result, Evaluation), result
    assert result.result.images == 97 and result.epochs[-1].total == 3 * 97
    assert len(result.result.trainings) == 3 and "±" not in outcome_line(result)


def test_folds_partition_the_images(splits: Splits) -> None:
    folds = Folds(splits, 3, seed=1)
    made = [folds.fold(number) for number in folds.numbers]
    assert sum(len(fold.validation_labels) for fold in made) == folds.image_count == 320 + 97
    assert all(fold.train_count + len(fold.validation_labels) == 417 for fold in made)
    everything = np.concatenate([splits.train.open_images(), splits.validation.open_images()])
    judged = np.concatenate([fold.validation_images for fold in made])
    assert same_images(judged, everything)
    assert all(same_images(seen_by(fold, splits.shape), everything) for fold in made)


def seen_by(fold: Fold, shape: tuple[int, int, int]) -> np.ndarray:
    """Return training and validation images of a fold together."""
    path = f"/proc/self/fd/{fold.train_images}"
    trained = np.frombuffer(Path(path).read_bytes(), np.uint8).reshape(-1, *shape)
    return np.concatenate([trained, fold.validation_images])


def same_images(one: np.ndarray, other: np.ndarray) -> bool:
    return sorted(image.tobytes() for image in one) == sorted(image.tobytes() for image in other)


def test_weights_that_are_not_finite_end_the_training(start: Start) -> None:
    code = altered(STEP, STEP + "            self.classifier.bias.data.fill_(float('nan'))\n")
    refusal = start().evaluate(candidate(code), 1)
    assert isinstance(refusal, Refusal)
    assert refusal.stage == Stage.TRAIN
    assert refusal.reason == "training diverged after 1 batches: weights are NaN"
    judged = start(stop_on_divergence=False).evaluate(candidate(code), 1)
    assert isinstance(judged, Refusal)
    assert judged.stage == Stage.JUDGE


def test_a_time_budget_ends_a_slow_training_early(start: Start) -> None:
    busy = "import time; end = time.process_time() + 0.05\n"
    busy += "            while time.process_time() < end: pass\n"
    code = altered(STEP, f"{STEP}            {busy}")
    refusal = start(budget_s=0.2).evaluate(candidate(code), 1)
    assert isinstance(refusal, Refusal)
    assert refusal.stage == Stage.TRAIN
    assert refusal.reason.endswith("the budget is 0.2 s")
    assert refusal.detail == "after 5 of 20 batches of epoch 1"


def test_our_training_loop_ignores_the_networks_own(start: Start) -> None:
    code = HONEST.replace("def learn", "def never").replace("def train_setup", "def neither")
    plain = start().retrain(candidate(code), 3)
    assert plain.accuracy is not None and plain.accuracy > 0.9
    assert (plain.total, plain.seed, plain.reason) == (97, 3, "")
    broken = start().retrain(candidate(altered("size = 8 *", "size = 9 *")), 3)
    assert broken.accuracy is None
    assert broken.reason.startswith("forward: the forward pass failed")


def test_training_more_than_the_protocol_is_visible_in_the_time(start: Start) -> None:
    executor = start(epochs=2)
    honest, crams = (executor.evaluate(candidate(code), 1) for code in (HONEST, CRAMS))
    assert isinstance(honest, Evaluation) and isinstance(crams, Evaluation)
    assert honest.claimed_batches == crams.claimed_batches == 40
    assert honest.cpu_s is not None and crams.cpu_s is not None
    assert crams.cpu_s > 1.5 * honest.cpu_s


def test_workers_use_the_processors_full_vector_width(start: Start) -> None:
    """Without /proc/cpuinfo torch uses narrow vectors, unless it has read that file before."""
    here = torch.backends.cpu.get_cpu_capability()
    code = altered(
        "        super().__init__()\n",
        "        super().__init__()\n"
        "        found = torch.backends.cpu.get_cpu_capability()\n"
        f"        if found != {here!r}: raise RuntimeError(found)\n",
    )
    assert isinstance(start().evaluate(candidate(code), 1), Evaluation)


def test_several_workers_give_the_same_results(start: Start) -> None:
    executor = start(workers=3)
    assert executor.workers == 3
    alone = [executor.evaluate(candidate(), seed) for seed in range(4)]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(lambda seed: executor.evaluate(candidate(), seed), range(4)))
    assert [outcome(r) for r in alone] == [outcome(r) for r in together]


def outcome(result: Evaluation | Refusal) -> int:
    assert isinstance(result, Evaluation), result
    return result.epochs[-1].correct


def test_a_stopped_executor_raises_at_once(tmp_path: Path) -> None:
    settings = EvaluationConfig(device="cpu", workers=1)
    with (
        LocalExecutor(make_splits(tmp_path), settings, make_task()) as executor,
        ThreadPoolExecutor(1) as threads,
    ):
        hangs = candidate("import time\ntime.sleep(600)\n" + HONEST)
        running = threads.submit(executor.evaluate, hangs, 1)
        executor.stop()
        with pytest.raises(ExecutionError, match="stopped"):
            running.result()
