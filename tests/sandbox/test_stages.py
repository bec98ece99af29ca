"""Training in stages: a stage continues where the one before it ended, in another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load
from sandbox_samples import HONEST, altered, candidate
from torch import nn

from nngpt.records import Refusal, Stage, StagedTraining, TrainingStage
from nngpt.sandbox import tensors
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.replicas import Replicas
from nngpt.sandbox.tensors import WEIGHTS

CONSTANT = ((0.0, 0.02), (1.0, 0.02))
SEES = (
    HONEST.replace("MaxPool2d(2)", "AdaptiveMaxPool2d(6)")
    .replace(
        "self.device =", 'self.register_buffer("seen", torch.zeros(64))\n        self.device ='
    )
    .replace("        return", "        self.seen[x.shape[-1]] += self.training\n        return")
)
"""A network that takes images of any size, and counts the sides on which it trains."""


def stage(optimiser: str, batches: int, first: int = 0, **others: object) -> TrainingStage:
    plan = TrainingStage(batches * 32, first, CONSTANT, optimiser=optimiser, batch=32)
    return replace(plan, **others)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_two_stages_train_as_one_does(start: Callable[..., LocalExecutor], optimiser: str) -> None:
    executor = start()
    whole = executor.advance(candidate(), 3, stage(optimiser, 14))
    first = executor.advance(candidate(), 3, stage(optimiser, 6))
    assert isinstance(whole, StagedTraining)
    assert isinstance(first, StagedTraining)
    second = executor.advance(candidate(), 3, stage(optimiser, 8, first.batches), first.state)
    assert isinstance(second, StagedTraining)
    assert (first.batches, second.batches, whole.batches) == (6, 14, 14)
    assert second.state == whole.state
    assert second.state != first.state
    assert second.correct == whole.correct
    assert second.accuracy > 0.9


def test_weights_leave_the_state_without_the_optimiser(start: Callable[..., LocalExecutor]) -> None:
    trained = start().advance(candidate(), 3, stage("adamw", 2))
    assert isinstance(trained, StagedTraining)
    weights, state = load(tensors.part_of(trained.state, WEIGHTS)), load(trained.state)
    assert {"features.0.weight", "features.1.running_mean", "classifier.bias"} <= set(weights)
    assert all(tensor.equal(state[WEIGHTS + name]) for name, tensor in weights.items())
    assert len(state) > len(weights)


def test_a_stage_ends_with_its_time(start: Callable[..., LocalExecutor]) -> None:
    trained = start().advance(candidate(), 3, stage("sgd", 10**9, seconds=0.3))
    assert isinstance(trained, StagedTraining)
    assert 1 <= trained.batches < 10**6


@pytest.mark.parametrize(
    ("code", "sides"),
    [
        (SEES, {9: 6, 12: 4}),
        (SEES.replace("nn.AdaptiveMaxPool2d(6)", "nn.MaxPool2d(2)"), {9: 1, 12: 10}),
    ],
)
def test_images_are_small_at_first_if_the_network_takes_them(
    start: Callable[..., LocalExecutor], code: str, sides: dict[int, int]
) -> None:
    trained = start().advance(candidate(code), 3, stage("sgd", 10, small=0.6))
    assert isinstance(trained, StagedTraining), trained
    seen = load(tensors.part_of(trained.state, WEIGHTS))["seen"]
    assert {side: int(count) for side, count in enumerate(seen) if count} == sides


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (altered("return self.classifier(", "return 0 * self.other("), "other"),
        (altered("nn.Linear(size", "nn.Linear(2 * size"), "the forward pass failed"),
        (
            altered("out_shape[0])", "out_shape[0])\n        self.requires_grad_(False)"),
            "no weights",
        ),
    ],
)
def test_a_broken_network_is_refused(
    start: Callable[..., LocalExecutor], code: str, reason: str
) -> None:
    found = start().advance(candidate(code), 3, stage("sgd", 2))
    assert isinstance(found, Refusal)
    assert reason in f"{found.reason} {found.detail}"


def test_a_state_of_another_network_is_refused(start: Callable[..., LocalExecutor]) -> None:
    executor = start()
    trained = executor.advance(candidate(), 3, stage("sgd", 2))
    assert isinstance(trained, StagedTraining)
    other = candidate(
        HONEST.replace("8, 3, padding=1), nn.BatchNorm2d(8)", "9, 3), nn.BatchNorm2d(9)")
    )
    found = executor.advance(other, 3, stage("sgd", 2, 2), trained.state)
    assert isinstance(found, Refusal)
    assert found.stage in (Stage.BUILD, Stage.FORWARD, Stage.TRAIN)


@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-6), (True, 3e-3)])
def test_parts_of_a_batch_give_the_gradients_of_the_batch(half: bool, tolerance: float) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 10))
    images, labels = torch.randn(40, 3, 8, 8), torch.randint(0, 10, (40,))
    net.eval()  # batch normalisation sees the parts when it trains
    threads = torch.get_num_threads()
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        net.zero_grad()
        precision = torch.autocast("cpu", torch.bfloat16, half, cache_enabled=False)
        with precision, Replicas(net, len(images), images.device) as replicas:
            assert torch.get_num_threads() == 1
            replicas.backward(images, labels, 0.1)
        found.append(
            [weight.grad.clone() for weight in net.parameters() if weight.grad is not None]
        )
        assert torch.get_num_threads() == count
    torch.set_num_threads(threads)
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=tolerance)


def test_a_stage_trains_on_parts_of_batches(start: Callable[..., LocalExecutor]) -> None:
    trained = start(threads=2, workers=1).advance(candidate(), 3, stage("adamw", 14))
    assert isinstance(trained, StagedTraining)
    assert trained.batches == 14
    assert trained.accuracy > 0.9
    state = load(tensors.part_of(trained.state, WEIGHTS))
    assert all(tensor.isfinite().all() for tensor in state.values())
