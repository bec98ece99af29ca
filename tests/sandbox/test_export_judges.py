"""The judge of an export, with frames that a worker may send."""

from __future__ import annotations

import json
import os
import re
import struct
from typing import Any

import numpy as np
import pytest
import torch

from nngpt.records import Stage
from nngpt.sandbox import wire
from nngpt.sandbox.candidate_module import RejectedError
from nngpt.sandbox.export_worker import send_weights
from nngpt.sandbox.exporter import ExportJudge
from nngpt.sandbox.judge import Budget
from nngpt.sandbox.packager import PackageJudge
from nngpt.sandbox.tensors import MOST_ONNX_BYTES

LABELS = np.array([2, 0, 1, 1, 2], np.int64)
START = [{"phase": "build"}, {"phase": "forward"}, {"phase": "setup", "parameters": 7}]


def frame(kind: bytes, payload: bytes) -> bytes:
    return struct.pack("<cI", kind, len(payload)) + payload


def facts(*reports: object) -> bytes:
    return b"".join(frame(wire.FACTS, json.dumps(report).encode()) for report in reports)


def epoch(number: int, answered: bool = True) -> bytes:
    said = [{"phase": "learn", "epoch": number}, {"phase": "answer", "epoch": number, "batches": 4}]
    logits = frame(wire.LOGITS, np.eye(3, dtype="<f4")[LABELS].tobytes())
    return facts(*said) + (logits if answered else b"")


def export_frames(tensors: int = 1, **told: object) -> bytes:
    tensor = {"tensor": "a", "dtype": "float32", "shape": [2], **told}
    return facts({"phase": "weights"}, {"tensors": tensors}, tensor) + frame(wire.TENSOR, bytes(8))


def collector(epochs: int) -> ExportJudge:
    return ExportJudge(LABELS, 3, epochs, Budget())


def test_weights_follow_the_answers() -> None:
    it = collector(2)
    assert it.feed(facts(*START) + epoch(1) + epoch(2) + export_frames()) is None
    assert it.done and [e.accuracy for e in it.epochs] == [1, 1]


@pytest.mark.parametrize("answered", [(False,), (True, False), (False, True), (False, False)])
def test_every_epoch_needs_answers(answered: tuple[bool, ...]) -> None:
    said = facts(*START)
    said += b"".join(epoch(number, given) for number, given in enumerate(answered, 1))
    it = collector(len(answered))
    refusal = it.feed(said + export_frames())
    assert refusal is not None and not it.done
    assert (refusal.stage, refusal.reason) == (Stage.JUDGE, "broke the result protocol")
    assert refusal.detail == "an epoch without answers"


@pytest.mark.parametrize(
    "told",
    [
        {"tensor": "../../etc/passwd"},
        {"tensor": "/tmp/x"},
        {"tensor": "__metadata__"},
        {"tensor": "conv 1x1"},
        {"tensor": "a\nb"},
        {"tensor": "a" * 300},
        {"tensor": 1},
        {"dtype": "complex64"},
        {"dtype": "object"},
        {"shape": [1 << 27, 2]},
        {"shape": [1 << 39, 1 << 39, 0]},
        {"shape": [1] * 9},
        {"tensors": 10_001},
    ],
)
def test_the_parent_checks_the_rules_of_tensors(told: dict[str, Any]) -> None:
    """Even if the worker does not."""
    refusal = collector(1).feed(facts(*START) + epoch(1) + export_frames(**told))
    assert refusal is not None
    assert (refusal.stage, refusal.reason) == (Stage.JUDGE, "broke the result protocol")


def test_a_network_may_have_few_parameters_and_many_weights() -> None:
    """A frozen backbone: 16 MiB of weights, seven trainable parameters."""
    it = collector(1)
    told = export_frames(shape=[1 << 22])[:-13]
    said = facts(*START) + epoch(1) + told + frame(wire.TENSOR, bytes(16 << 20))
    assert it.feed(said) is None
    assert it.done and it.tensors[0].shape == (1 << 22,)


def package_frames(in_shape: tuple[int, ...] = (1, 1, 4, 4), **told: object) -> bytes:
    cost = {"phase": "cost", "in_shape": in_shape, "parameters": 7, "flops": 9, **told}
    logits = frame(wire.LOGITS, np.eye(3, dtype="<f4")[LABELS].tobytes())
    return facts(*START[:2], cost, {"phase": "answer", "epoch": 1, "batches": 0}) + logits


def test_an_onnx_file_follows_the_answers() -> None:
    it = PackageJudge(LABELS, 3, with_onnx=True)
    told = {"latency_ms": 1.5, "batch_ms": 64.0, "layers": [["Conv2d", [8, 4, 4]]]}
    assert it.feed(package_frames(needs_setup=True, **told)) is None
    assert not it.done and it.judged == (5, 5) and it.logits is not None
    assert (it.parameters, it.flops, it.latency_ms, it.batch_ms) == (7, 9, 1.5, 64.0)
    assert it.needs_setup and it.in_shape == (1, 1, 4, 4)
    assert it.layers == (("Conv2d", (8, 4, 4)),)
    assert it.feed(facts({"phase": "onnx"}) + frame(wire.ONNX, bytes(17 << 20))) is None
    assert it.done and it.onnx is not None


@pytest.mark.parametrize(
    "said",
    [
        facts({"phase": "onnx"}) + struct.pack("<cI", wire.ONNX, MOST_ONNX_BYTES + 1),
        facts({"onnx_problem": "none"}),
        frame(wire.ONNX, b"early"),
    ],
)
def test_a_false_onnx_file_breaks_the_protocol(said: bytes) -> None:
    refusal = PackageJudge(LABELS, 3, with_onnx=True).feed(package_frames() + said)
    assert refusal is not None and refusal.reason == "broke the result protocol"


@pytest.mark.parametrize("shape", [(1, 3, 4097, 4096), (1, 3, 0, 32), (1, 3, 32)])
def test_the_parent_checks_the_shape_of_images(shape: tuple[int, ...]) -> None:
    refusal = PackageJudge(LABELS, 3, with_onnx=False).feed(package_frames(shape))
    assert refusal is not None and refusal.reason == "broke the result protocol"


@pytest.mark.parametrize(
    "layers",
    [{}, [["Conv2d"]], [["", [1]]], [["Conv2d", [-1]]], [["Conv2d", 3]], [["A", []]] * 501],
)
def test_the_parent_checks_the_layers_of_a_network(layers: object) -> None:
    refusal = PackageJudge(LABELS, 3, with_onnx=False).feed(package_frames(layers=layers))
    assert refusal is not None and refusal.reason == "broke the result protocol"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"conv 1x1.weight": torch.ones(2)}, "'conv 1x1.weight' is no name of a tensor"),
        ({"3x3+bn": torch.ones(2)}, "'3x3+bn' is no name"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "has a type that cannot be exported"),
        ({"a": torch.ones(1).expand(1 << 26), "b": torch.ones(1).expand(1 << 27)}, "too large"),
    ],
)
def test_an_inexportable_network_is_rejected_with_the_reason(
    state: dict[str, torch.Tensor], said: str
) -> None:
    class Net:
        def state_dict(self) -> dict[str, torch.Tensor]:
            return state

    reading, writing = os.pipe()
    try:
        with pytest.raises(
            RejectedError, match=f"^the weights cannot be exported: .*{re.escape(said)}"
        ):
            send_weights(writing, Net().state_dict)
        phase = facts({"phase": "weights"})
        assert os.read(reading, 1 << 16) == phase, "nothing but that the weights come"
    finally:
        os.close(reading)
        os.close(writing)
