"""The judge, with frames that a worker may send."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Sequence

import numpy as np
import pytest

from nngpt.protocols import Verdict
from nngpt.records import Proxy, Stage
from nngpt.sandbox import wire
from nngpt.sandbox.judge import Budget, Judge, clean, secret_order

LABELS = np.array([2, 0, 1, 1, 2], np.int64)
START = [{"phase": "build"}, {"phase": "forward"}, {"phase": "setup", "parameters": 7}]
SETUP = START[2]
PROXIES = {"synflow": 2.5e30, "jacob_cov": None, "grad_norm": 3.0}
LEARN, ANSWER = {"phase": "learn", "epoch": 1}, {"phase": "answer", "epoch": 1, "batches": 4}
EPOCH = [LEARN, ANSWER]


def judge(epochs: int = 1, **budget: float) -> Judge:
    return Judge(LABELS, classes=3, epochs=epochs, budget=Budget(**budget))  # type: ignore[arg-type]


def facts(*reports: object) -> bytes:
    return b"".join(frame(wire.FACTS, json.dumps(report).encode()) for report in reports)


def frame(kind: bytes, payload: bytes) -> bytes:
    return struct.pack("<cI", kind, len(payload)) + payload


def answers(classes: list[int]) -> bytes:
    return frame(wire.LOGITS, np.eye(3, dtype="<f4")[classes].tobytes())


def test_the_judge_computes_the_accuracy() -> None:
    it = judge()
    assert it.feed(facts(*START, *EPOCH) + answers([2, 0, 1, 0, 0])) is None
    assert it.done
    assert (it.epochs[0].correct, it.epochs[0].total, it.epochs[0].accuracy) == (3, 5, 0.6)
    assert it.parameters == 7
    assert it.epochs[0].seconds >= 0


def test_frames_may_arrive_byte_by_byte() -> None:
    it = judge()
    for byte in facts(*START, *EPOCH) + answers([2, 0, 1, 1, 2]):
        assert it.feed(bytes([byte])) is None
    assert it.epochs[0].accuracy == 1


@pytest.mark.parametrize(
    "data",
    [
        b"garbage that is long enough to be a header",
        answers([0] * 5),
        facts(*START[1:]),
        facts(*START, *EPOCH[1:]),
        facts(*START, *EPOCH) + answers([0] * 4),
        facts(*START, *EPOCH) + struct.pack("<cI", wire.LOGITS, 2**32 - 1),
        facts(*START) + struct.pack("<cI", wire.FACTS, 1 << 17),
        facts({"phase": "build", "epoch": True}),
        facts(*START[:2], {"phase": "setup"}),
        facts(*START[:2], {"phase": "setup", "parameters": True}),
        facts(*START[:2], {"phase": "setup", "parameters": -1}),
        facts(*START[:2], {"phase": "setup", "parameters": 10**400}),
        facts(*START[:2], {"phase": "setup", "parameters": 1, "flops": -1}),
        facts(*START[:2], {"phase": "setup", "parameters": 1, "latency_ms": 1}),
        facts(*START[:2], {"phase": "setup", "parameters": 1, "latency_ms": float("nan")}),
        facts(*START[:2], {**SETUP, "proxies": []}),
        facts(*START[:2], {**SETUP, "proxies": {"synflow": 1.0}}),
        facts(*START[:2], {**SETUP, "proxies": {**PROXIES, "synflow": float("inf")}}),
        facts(*START[:2], {**SETUP, "proxies": {**PROXIES, "synflow": "1"}}),
        facts(*START, {"batches": 1, "of": 4}),
        facts(*START, LEARN, {"batches": 5, "of": 4}),
        facts(*START, LEARN, {"batches": 2, "of": 4}, {"batches": 2, "of": 4}),
        facts(*START, LEARN, {"phase": "answer", "epoch": 1}),
        facts([1]),
        facts({"phase": ["build"]}),
        frame(wire.FACTS, b"[" * 60_000),
        frame(wire.FACTS, b"\xff"),
        frame(b"P", b""),
    ],
)
def test_frames_out_of_order_or_size_are_refused(data: bytes) -> None:
    refusal = judge().feed(data)
    assert refusal is not None
    assert (refusal.stage, refusal.reason) == (Stage.JUDGE, "broke the result protocol")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_must_be_finite(value: float) -> None:
    logits = np.zeros((5, 3), "<f4")
    logits[3, 1] = value
    refusal = judge().feed(facts(*START, *EPOCH) + frame(wire.LOGITS, logits.tobytes()))
    assert refusal is not None
    assert (refusal.stage, refusal.reason) == (Stage.JUDGE, "the logits are not finite")
    assert refusal.detail == "1 of 5 answers in epoch 1 hold NaN or Inf"


def test_the_parameter_budget_is_checked_before_training() -> None:
    refusal = judge(parameters=6).feed(facts(*START))
    assert refusal is not None
    assert (refusal.stage, refusal.reason) == (Stage.BUILD, "has 7 parameters, the budget is 6")
    assert judge(parameters=7).feed(facts(*START)) is None


def test_early_stopping_is_checked_after_each_epoch_but_the_last() -> None:
    curves: list[list[float]] = []

    def should_stop(accuracies: Sequence[float]) -> Verdict:
        curves.append(list(accuracies))
        return Verdict(ceiling=(0.7, 0.5, 0.6)[len(accuracies) - 1])

    it = Judge(LABELS, 3, 4, Budget(), should_stop)
    it.feed(facts(*START))
    for epoch in range(1, 5):
        reports = {**LEARN, "epoch": epoch}, {**ANSWER, "epoch": epoch}
        assert it.feed(facts(*reports) + answers([2, 0, 1, 0, 0])) is None
    assert curves == [[0.6], [0.6, 0.6], [0.6, 0.6, 0.6]]
    assert it.done and it.ceiling == 0.5 and it.would_stop is None


def test_the_text_of_a_failure_is_cleaned() -> None:
    it = judge()
    it.feed(facts(*START[:2]))
    error = {"error": "Runtime\x1bError", "message": "a\x07\ud800" + "b" * 9999, "where": "line 1"}
    refusal = it.feed(facts(error))
    assert refusal is not None
    assert refusal.stage == Stage.FORWARD
    assert refusal.reason.startswith("the forward pass failed: RuntimeError: a?bbb")
    assert len(refusal.reason) < 300
    assert refusal.detail.startswith("RuntimeError: a?bbb")
    assert len(refusal.detail) == 2000


def test_clean_keeps_lines_and_length() -> None:
    assert clean(" a\n\tb\u202e\x00c ", 10) == "a\nbc"
    assert clean("x" * 11, 10) == "x" * 9 + "…"


def test_the_order_is_secret_but_repeatable() -> None:
    labels = np.arange(1000) % 10
    order = secret_order(labels, "code", 1)
    assert sorted(order) == list(range(1000))
    assert (order == secret_order(labels, "code", 1)).all()
    for other in (secret_order(labels, "code", 2), secret_order(labels, "Code", 1)):
        assert (order == other).mean() < 0.02
    relabelled = labels.copy()
    relabelled[5] = 0
    assert (order == secret_order(relabelled, "code", 1)).mean() < 0.02


def test_claims_are_recorded() -> None:
    it = judge(latency_ms=3.0)
    setup = {**SETUP, "flops": 12, "latency_ms": 2.5, "proxies": PROXIES}
    assert it.feed(facts(*START[:2], setup, *EPOCH) + answers([2, 0, 1, 0, 0])) is None
    assert (it.parameters, it.flops, it.latency_ms, it.batches) == (7, 12, 2.5, 4)
    assert it.proxies == PROXIES


def test_the_latency_budget_is_checked_before_training() -> None:
    refusal = judge(latency_ms=2.0).feed(
        facts(*START[:2], {"phase": "setup", "parameters": 7, "latency_ms": 2.5})
    )
    assert refusal is not None
    assert refusal.stage == Stage.FORWARD
    assert refusal.reason == "takes 2.50 ms an image, the budget is 2 ms"


def test_the_least_proxy_is_checked_before_training() -> None:
    setup = {**SETUP, "proxies": PROXIES}
    least = {Proxy.JACOB_COV: 0.0, Proxy.GRAD_NORM: 3.5}  # an unknown one refuses nothing
    refusal = Judge(LABELS, 3, 1, Budget(least_proxy=least)).feed(facts(*START[:2], setup))
    assert refusal is not None
    assert (refusal.stage, refusal.reason) == (Stage.FORWARD, "grad_norm is 3, the least is 3.5")
    fair = Budget(least_proxy={Proxy.GRAD_NORM: 3.0})
    assert Judge(LABELS, 3, 1, fair).feed(facts(*START[:2], setup)) is None


def test_a_training_that_would_take_too_long_is_ended_early() -> None:
    """A thousand batches of at least one millisecond each, with a budget of less."""
    it, clock = judge(seconds=0.5), itertools.count(0, 0.02)
    it.own_s = lambda: next(clock)
    assert it.feed(facts(*START, LEARN, {"batches": 1, "of": 1000})) is None
    assert it.feed(facts({"batches": 2, "of": 1000})) is None
    refusal = it.feed(facts({"batches": 5, "of": 1000}))
    assert refusal is not None
    assert refusal.stage == Stage.TRAIN
    assert refusal.reason == "would train for 10.0 ± 4.4 s of its own, the budget is 0.5 s"
    assert judge(seconds=1e6).feed(facts(*START, LEARN, {"batches": 5, "of": 9})) is None
