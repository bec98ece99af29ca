"""Judge a candidate by its worker's output, in the parent, which alone has the labels.

The worker is not trusted: frames have hard size limits and a fixed order, this process measures
the time and computes the metric, and text is cleaned before anyone reads it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nngpt.errors import ExecutionError
from nngpt.protocols import Verdict
from nngpt.records import EpochResult, Proxy, Refusal, Stage
from nngpt.sandbox import wire

BROKE_PROTOCOL = "broke the result protocol"
"""Reason of the refusal for frames that no honest worker sends."""

Labels = npt.NDArray[np.int64]

_MAX_FACTS = 1 << 16
_MAX_DETAIL = 2000
_MAX_REASON = 200
_MAX_COUNT = 10**15
_MAX_LATENCY_MS = 1e7
_FEW_BATCHES = 5

_PHASES = {
    "build": (Stage.BUILD, "building the network"),
    "forward": (Stage.FORWARD, "the forward pass"),
    "setup": (Stage.TRAIN, "train_setup"),
    "learn": (Stage.TRAIN, "training"),
    "cost": (Stage.FORWARD, "measuring the network"),
    "answer": (Stage.JUDGE, "answering the images"),
    "weights": (Stage.JUDGE, "sending the weights"),
    "onnx": (Stage.JUDGE, "the ONNX export"),
}
"""Stage and description of each phase that a worker reports."""


def secret_order(labels: Labels, content: str, seed: int) -> npt.NDArray[np.int64]:
    """Return the judge's secret order of the validation images for a worker, a permutation [n].

    The key is derived from the labels: nobody else can compute the order, and the same code with
    the same seed gets the same order again, so its logits are equal to the last bit
    (invariant "Same seed, same result").
    """
    key = hashlib.sha256(np.ascontiguousarray(labels).tobytes()).digest()
    drawn = hmac.digest(key, f"{content} {seed}".encode(), "sha256")
    stream = hashlib.shake_256(drawn).digest(8 * len(labels))
    return np.argsort(np.frombuffer(stream, "<u8"), kind="stable").astype(np.int64)


@dataclass(frozen=True)
class Budget:
    """Limits that a judge enforces on parameters, one image's forward pass, training; None: none.

    `seconds` counts the worker's own seconds (`nngpt.sandbox.own_time`) over all epochs;
    `least_proxy` are the smallest values of zero-cost proxies, by name.
    """

    parameters: int | None = None
    latency_ms: float | None = None
    seconds: float | None = None
    least_proxy: Mapping[Proxy, float] = field(default_factory=dict)

    def refusal(
        self,
        parameters: int,
        latency_ms: float | None,
        proxies: Mapping[str, float | None] | None = None,
    ) -> Refusal | None:
        """Return the refusal of a network that is too large, too slow or too unlikely, else None.

        A proxy that could not be computed refuses nothing.
        """
        most, slowest = self.parameters, self.latency_ms
        if most is not None and parameters > most:
            reason = f"has {parameters:,} parameters, the budget is {most:,}"
            return Refusal(Stage.BUILD, reason)
        if slowest is not None and latency_ms is not None and latency_ms > slowest:
            reason = f"takes {latency_ms:.2f} ms an image, the budget is {slowest:g} ms"
            return Refusal(Stage.FORWARD, reason)
        for name, least in self.least_proxy.items():
            value = (proxies or {}).get(name)
            if value is not None and value < least:
                return Refusal(Stage.FORWARD, f"{name} is {value:.6g}, the least is {least:g}")
        return None


class Judge:
    """Reads one worker's frames and computes its scores.

    Attributes:
        stage: the stage last reported, None before the first report.
        parameters, batches: numbers of trainable parameters and of training batches in the judged
            epochs, as the worker claims.
        flops, latency_ms: floating-point operations and milliseconds of one image's forward pass,
            as the worker claims; None if unknown.
        proxies: zero-cost proxies by name, as the worker claims; None if it tells none.
        would_stop: why the training would have been stopped early, had it not been exempt.
        ceiling: lowest accuracy that the training was predicted not to exceed, None if none was.
        own_s: returns the worker's own seconds so far, as its lane measures them.
        learn_s: own seconds of all finished calls of `learn`.
        trained_s: own seconds from the first `learn` to the last answers.
    """

    def __init__(
        self,
        labels: Labels,
        classes: int,
        epochs: int,
        budget: Budget,
        should_stop: Callable[[Sequence[float]], Verdict] | None = None,
    ) -> None:
        """Expect `epochs` sets of answers to the validation images.

        Args:
            labels: labels of the validation images, in the order in which the worker sees them.
            should_stop: early-stopping check of the accuracies so far, called after each epoch.
        """
        self._labels, self._classes, self._wanted = labels, classes, epochs
        self._allowed, self._should_stop = budget, should_stop
        self.would_stop: str | None = None
        self.ceiling: float | None = None
        self._reader = wire.FrameReader(self._allows)
        self._script = [("build", 0), ("forward", 0), ("setup", 0)]
        self._script += [(name, n) for n in range(1, epochs + 1) for name in ("learn", "answer")]
        self._phase, self._epoch = "", 0
        self._mark = time.monotonic()
        self.own_s: Callable[[], float] = time.monotonic
        self._learn_from = self._first_batch = self.learn_s = 0.0
        self._trained_from = self.trained_s = 0.0
        self.stage: Stage | None = None
        self.parameters = self.batches = self._drawn = 0
        self.flops: int | None = None
        self.latency_ms: float | None = None
        self.proxies: dict[str, float | None] | None = None
        self.epochs: list[EpochResult] = []

    @property
    def done(self) -> bool:
        """True once every epoch is judged."""
        return len(self.epochs) == self._wanted

    def feed(self, data: bytes) -> Refusal | None:
        """Read bytes from the worker's pipe; return a refusal to end the evaluation, else None."""
        try:
            for kind, payload in self._reader.feed(data):
                refusal = self._take(kind, payload)
                if refusal or self.done:
                    return refusal
        except (wire.WireError, ValueError, RecursionError) as error:
            return Refusal(Stage.JUDGE, BROKE_PROTOCOL, clean(str(error), _MAX_DETAIL))
        return None

    def _take(self, kind: bytes, payload: bytes) -> Refusal | None:
        return self._facts(payload) if kind == wire.FACTS else self._logits(payload)

    def _allows(self, kind: bytes, length: int) -> bool:
        """Return True if a frame of this kind and length is expected now."""
        if kind == wire.LOGITS:
            return self._phase == "answer" and length == 4 * len(self._labels) * self._classes
        return kind == wire.FACTS and length <= _MAX_FACTS

    def _facts(self, payload: bytes) -> Refusal | None:
        facts = json.loads(payload)
        if not isinstance(facts, dict):
            raise wire.WireError("a report that is no object")
        if "rejected" in facts:
            return self._refuse(clean(str(facts["rejected"]), _MAX_REASON), "")
        if "error" in facts:
            return self._failure(facts)
        if "of" in facts:
            return self._progress(facts)
        return self._enter(facts)

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        """Enter the next phase. Raises: wire.WireError if it is out of order."""
        if self._phase == "answer":
            raise wire.WireError("an epoch without answers")
        phase = (facts.get("phase"), facts.get("epoch", 0))
        if not self._script or phase != self._script[0]:
            raise wire.WireError(f"phase {phase!r} out of order")
        self._phase, self._epoch = self._script.pop(0)
        self.stage = _PHASES[self._phase][0]
        if self._phase == "learn":
            self._drawn, self._learn_from = 0, self.own_s()
            if self._epoch == 1:
                self._mark, self._trained_from = time.monotonic(), self._learn_from
        if self._phase == "answer":
            self.learn_s += self.own_s() - self._learn_from
            self.batches += _count(facts.get("batches"), "batches")
        return self._check_cost(facts) if self._phase == "setup" else None

    def _check_cost(self, facts: dict[str, Any]) -> Refusal | None:
        """Take the claimed size, speed and proxies; refuse a network over the budget."""
        self.parameters = _count(facts.get("parameters"), "parameter count")
        if (flops := facts.get("flops")) is not None:
            self.flops = _count(flops, "number of operations")
        if (latency := facts.get("latency_ms")) is not None:
            if type(latency) is not float or not 0 <= latency < _MAX_LATENCY_MS:
                raise wire.WireError("no latency")
            self.latency_ms = latency
        elif self._allowed.latency_ms is not None:
            raise wire.WireError("no latency")
        if (told := facts.get("proxies")) is not None:
            self.proxies = _checked_proxies(told)
        return self._allowed.refusal(self.parameters, self.latency_ms, self.proxies)

    def _progress(self, facts: dict[str, Any]) -> Refusal | None:
        """Extrapolate the training time from the batches so far; refuse if over the budget."""
        if self._phase != "learn":
            raise wire.WireError("batches out of order")
        drawn, total = _count(facts.get("batches"), "batches"), _count(facts["of"], "batches")
        if not self._drawn < drawn <= total:
            raise wire.WireError(f"batch {drawn} of {total} after {self._drawn}")
        self._drawn, now = drawn, self.own_s()
        if drawn == 1:  # the first batch warms up: measure the rate from here
            self._first_batch = now
        if self._allowed.seconds is None or drawn < _FEW_BATCHES:
            return None
        rate = (now - self._first_batch) / (drawn - 1)
        left = total - drawn + (self._wanted - self._epoch) * total
        before = self.learn_s + now - self._learn_from
        # Uncertainty of the estimate after this many batches, in the candidate's favour.
        spread = rate * left / math.sqrt(drawn)
        if before + rate * left - spread <= self._allowed.seconds:
            return None
        return Refusal(
            Stage.TRAIN,
            f"would train for {before + rate * left:.1f} ± {spread:.1f} s of its own, "
            f"the budget is {self._allowed.seconds:g} s",
            f"after {drawn} of {total} batches of epoch {self._epoch}",
        )

    def _logits(self, payload: bytes) -> Refusal | None:
        """Score one epoch's answers, float32 [n, classes]."""
        total, epoch = len(self._labels), len(self.epochs) + 1
        logits = np.frombuffer(payload, "<f4").reshape(total, self._classes)
        if bad := int((~np.isfinite(logits)).any(axis=1).sum()):
            detail = f"{bad} of {total} answers in epoch {epoch} hold NaN or Inf"
            return Refusal(Stage.JUDGE, "the logits are not finite", detail)
        now, correct = time.monotonic(), int((logits.argmax(axis=1) == self._labels).sum())
        result = EpochResult(epoch, correct / total, correct, total, now - self._mark)
        self.epochs.append(result)
        self._mark, self._phase = now, ""
        self.trained_s = self.own_s() - self._trained_from
        return None if self.done else self._stopped_early()

    def _stopped_early(self) -> Refusal | None:
        """Return the refusal of a hopeless training; the first `would_stop` is final."""
        if self._should_stop is None or self.would_stop is not None:
            return None
        try:
            verdict = self._should_stop([result.accuracy for result in self.epochs])
        except (ValueError, RecursionError) as error:  # ours, not the worker's
            raise ExecutionError(f"the early-stopping check failed: {error}") from error
        self.would_stop = verdict.would_stop
        if verdict.ceiling is not None:
            self.ceiling = min(verdict.ceiling, 1.0 if self.ceiling is None else self.ceiling)
        return verdict.refusal

    def _failure(self, facts: dict[str, Any]) -> Refusal:
        name = re.sub(r"[^A-Za-z0-9_.]", "", str(facts["error"]))[:60] or "error"
        detail = f"{name}: {facts.get('message', '')}\n{facts.get('where', '')}"
        if facts.get("memory") is True:
            return self._refuse("out of memory", detail)
        activity = _PHASES[self._phase][1] if self._phase else "the start"
        first = clean(str(facts.get("message", "")), _MAX_REASON).partition("\n")[0]
        error = f"{name}: {first}" if first else name
        return self._refuse(f"{activity} failed: {error}", detail)

    def _refuse(self, reason: str, detail: str) -> Refusal:
        reason = " ".join(reason.split()) or "refused"
        return Refusal(self.stage or Stage.BUILD, reason, clean(detail, _MAX_DETAIL))


def _count(value: object, what: str) -> int:
    """Check a claimed number. Raises: wire.WireError."""
    if type(value) is not int or not 0 <= value < _MAX_COUNT:
        raise wire.WireError(f"no {what}")
    return value


def _checked_proxies(told: object) -> dict[str, float | None]:
    """Check claimed proxies: a finite number or None for each. Raises: wire.WireError."""
    if not isinstance(told, dict) or told.keys() != set(Proxy):
        raise wire.WireError("no proxies")
    for value in told.values():
        if value is not None and not (type(value) is float and math.isfinite(value)):
            raise wire.WireError("no value of a proxy")
    return told


def clean(text: str, limit: int) -> str:
    """Clean a worker's text before the judge keeps it: no control characters, limited length."""
    text = text[: 4 * limit].encode("utf-8", "replace").decode("utf-8")
    text = "".join(c for c in text if c == "\n" or c.isprintable()).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
