"""The judge of an export against frames that a worker might send."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from nngpt.execution import wire
from nngpt.execution.collecting import Collector
from nngpt.execution.scoring import Budget
from nngpt.records import Stage

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


def handed_over(dtype: str = "float32", shape: tuple[int, ...] = (2,), size: int = 8) -> bytes:
    told = {"tensor": "a", "dtype": dtype, "shape": shape}
    head = facts({"phase": "weights", "in_shape": [1, 1, 4, 4]}, {"tensors": 1}, told)
    return head + frame(wire.TENSOR, bytes(size))


def collector(epochs: int) -> Collector:
    return Collector(LABELS, 3, epochs, Budget(), with_onnx=False)


def test_weights_come_after_the_answers() -> None:
    it = collector(2)
    assert it.feed(facts(*START) + epoch(1) + epoch(2) + handed_over()) is None
    assert it.done and [e.accuracy for e in it.epochs] == [1, 1]


@pytest.mark.parametrize("answered", [(False,), (True, False), (False, True), (False, False)])
def test_no_epoch_goes_without_answers(answered: tuple[bool, ...]) -> None:
    said = facts(*START)
    said += b"".join(epoch(number, given) for number, given in enumerate(answered, 1))
    it = collector(len(answered))
    refusal = it.feed(said + handed_over())
    assert refusal is not None and not it.done
    assert (refusal.stage, refusal.reason) == (Stage.JUDGE, "broke the result protocol")
    assert refusal.detail == "an epoch without answers"
