"""Executors with real processes, which the tests of a session share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from sandbox_samples import make_splits, make_task

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.sandbox.executors.local import LocalExecutor, create

# A known limit saves the reference training of each executor.
LIMIT = {"limit_s": 30}
DEVICE = os.environ.get("NNGPT_TEST_DEVICE", "cpu")  # scripts/gpu-proof sets it


@pytest.fixture(scope="session")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return make_splits(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="session")
def start(splits: Splits) -> Iterator[Callable[..., LocalExecutor]]:
    """Make executors; the same settings give the same executor."""
    made: dict[str, LocalExecutor] = {}

    def start(max_parameters: int | None = None, **settings: object) -> LocalExecutor:
        key = repr((max_parameters, sorted(settings.items())))
        if key not in made:
            evaluation = EvaluationConfig.model_validate(
                {"device": DEVICE, **(LIMIT if DEVICE == "cpu" else {}), **settings}
            )
            made[key] = create(splits, evaluation, make_task(max_parameters))
        return made[key]

    yield start
    for executor in made.values():
        executor.close()
