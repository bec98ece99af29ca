"""Networks train several at a time, and none twice, even after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sandbox_samples import HONEST, altered, candidate

from nngpt.data.splits import Splits
from nngpt.errors import ExecutionError
from nngpt.finetuning.rl.execution_cache import ExecutionCache, hash_data
from nngpt.records import Candidate, Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor

NARROW = altered("8, 3", "4, 3").replace("BatchNorm2d(8)", "BatchNorm2d(4)").replace("8 *", "4 *")
BROKEN = altered("nn.ReLU()", "nn.LazyReLU()")
NETWORKS = [candidate(), candidate(NARROW), candidate(), candidate(BROKEN)]


@pytest.fixture
def opened(start: Callable[..., LocalExecutor], tmp_path: Path) -> Callable[..., ExecutionCache]:
    executor = start(workers=2)

    def opened(seed: int = 1, **setting: Any) -> ExecutionCache:
        return ExecutionCache(executor, seed, setting, tmp_path / "executions.jsonl")

    return opened


def test_no_network_is_trained_twice(opened: Callable[..., ExecutionCache], tmp_path: Path) -> None:
    executions = opened()
    found = executions.outcomes(NETWORKS)
    assert [known for _, known in found] == [False, False, True, False]
    assert executions.executed == 3
    outcomes = [outcome for outcome, _ in found]
    assert outcomes[0] == outcomes[2] and isinstance(outcomes[0], Evaluation)
    assert isinstance(outcomes[3], Refusal)
    file = tmp_path / "executions.jsonl"
    file.write_bytes(file.read_bytes() + b'{"key": "torn by a ki')
    again = opened()
    assert again.outcomes(NETWORKS) == [(outcome, True) for outcome in outcomes]
    another = candidate(altered("8, 3", "8, 5").replace("padding=1", "padding=2"))
    assert again.outcomes([another])[0][1] is False
    assert again.executed == 1
    third = opened().outcomes([another, *NETWORKS])
    assert third[0][1] is True, "the torn line harms no other"


def test_outcomes_depend_on_network_settings_and_seed(
    opened: Callable[..., ExecutionCache],
) -> None:
    network = candidate()
    executions = opened()
    first, _ = executions.outcomes([network])[0]
    changed: list[Candidate] = [
        replace(network, batch=17),
        replace(network, transform="echo"),
        replace(network, hyperparameters={"lr": 0.01, "momentum": 0.9}),
        replace(network, code=HONEST + "\n"),
    ]
    assert [known for _, known in executions.outcomes(changed)] == [False] * 4
    assert opened(seed=2).outcomes([network])[0][1] is False
    assert opened(epochs=2).outcomes([network])[0][1] is False
    assert opened().outcomes([network])[0] == (first, True)


def test_the_data_hash_depends_on_the_data(splits: Splits) -> None:
    swapped = replace(splits, train=splits.validation, validation=splits.train)
    assert hash_data(splits) == hash_data(splits) != hash_data(swapped)


def test_a_broken_sandbox_is_reported(splits: Splits, tmp_path: Path) -> None:
    class Broken:
        level, workers = "none", 2

        def evaluate(self, _candidate: Candidate, _seed: int) -> Evaluation:
            raise ExecutionError("broken")

        def stop(self) -> None:
            self.stopped = True

    broken: Any = Broken()
    executions = ExecutionCache(broken, 1, {}, tmp_path / "executions.jsonl")
    with pytest.raises(ExecutionError, match="broken"):
        executions.outcomes(NETWORKS)
    assert broken.stopped
