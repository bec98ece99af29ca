"""Training loops that go over the images again are found by their time, odd honest ones pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sandbox_samples import make_splits, make_task
from training_loops import CHEATS, HONEST, trained_by

from nngpt.config import EvaluationConfig
from nngpt.records import Evaluation, Refusal, Stage
from nngpt.sandbox.executors.local import LocalExecutor

FEW_CHEATS = ("hoard nested", "each batch again", "thread", "trains when asked")
FEW_HONEST = ("plain", "SAM", "gradient penalty", "augmentation image by image")


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    splits = make_splits(tmp_path_factory.mktemp("noisy"), train=480, validation=100, noise=150)
    settings = EvaluationConfig(device="cpu", workers=1, retrain=False)
    with LocalExecutor(splits, settings, make_task()) as executor:
        yield executor


@pytest.mark.parametrize("name", FEW_CHEATS)
def test_extra_epochs_are_refused(executor: LocalExecutor, name: str) -> None:
    refusal = executor.evaluate(trained_by(*CHEATS[name], passes=12), 1)
    assert isinstance(refusal, Refusal) and refusal.stage == Stage.TRAIN
    assert refusal.reason.startswith("extra epochs: it trained ")


@pytest.mark.parametrize("name", FEW_HONEST)
def test_one_pass_is_not_refused(executor: LocalExecutor, name: str) -> None:
    assert isinstance(executor.evaluate(trained_by(*HONEST[name]), 1), Evaluation)


def test_the_training_of_a_template_is_not_measured(executor: LocalExecutor) -> None:
    written = trained_by(*CHEATS["hoard nested"], passes=8)
    assert isinstance(executor.evaluate(replace(written, mode="body"), 1), Evaluation)
