"""Judges of exports: of a training that sends its weights, and of answers given by a file.

They run in the parent, like every judge, and trust the worker as little.
"""

from __future__ import annotations

import math
from typing import Any

from nngpt.records import Refusal, WeightTensor
from nngpt.sandbox import wire
from nngpt.sandbox.judge import Budget, Judge, Labels, clean
from nngpt.sandbox.tensors import MOST_ONNX_BYTES, TensorReader

_MOST_PIXELS = 1 << 24
_MAX_PROBLEM = 300


class ExportJudge(Judge):
    """Judges a training, then takes the weights and, if wanted, an ONNX file.

    Attributes:
        in_shape: (1, c, h, w) of the network's input, as the worker claims.
        onnx: the ONNX file, None before it arrives.
        onnx_problem: why the worker could not make an ONNX file, "" if it reported no problem.
    """

    def __init__(
        self, labels: Labels, classes: int, epochs: int, budget: Budget, with_onnx: bool
    ) -> None:
        super().__init__(labels, classes, epochs, budget)
        self._script += [("weights", 0), *([("onnx", 0)] if with_onnx else [])]
        self._with_onnx = with_onnx
        self._tensor_reader: TensorReader | None = None
        self.in_shape: tuple[int, ...] = ()
        self.onnx: bytes | None = None
        self.onnx_problem = ""

    @property
    def done(self) -> bool:
        """True once the exported weights and the ONNX file, or its problem, have arrived."""
        settled = not self._with_onnx or self.onnx is not None or bool(self.onnx_problem)
        return self.has_weights and settled

    @property
    def has_weights(self) -> bool:
        """True once every exported tensor has arrived."""
        return self._tensor_reader is not None and self._tensor_reader.complete

    @property
    def tensors(self) -> tuple[WeightTensor, ...]:
        """Exported tensors that have arrived."""
        return tuple(self._tensor_reader.tensors) if self._tensor_reader else ()

    def _allows(self, kind: bytes, length: int) -> bool:
        if kind == wire.TENSOR:
            reader = self._tensor_reader
            return self._phase == "weights" and reader is not None and reader.allows(length)
        if kind == wire.ONNX:
            fits = 0 < length <= MOST_ONNX_BYTES
            return self._phase == "onnx" and self.onnx is None and fits
        return super()._allows(kind, length)

    def _take(self, kind: bytes, payload: bytes) -> Refusal | None:
        if kind == wire.TENSOR:
            assert self._tensor_reader is not None, "_allows checks first"
            self._tensor_reader.take(payload)
            return None
        if kind == wire.ONNX:
            self.onnx = payload
            return None
        return super()._take(kind, payload)

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        if "phase" not in facts:
            self._take_facts(facts)
            return None
        if facts["phase"] == "onnx" and not self.has_weights:
            raise wire.WireError("the weights are incomplete")
        refusal = super()._enter(facts)
        if self._phase == "weights":
            self.in_shape = _in_shape(facts.get("in_shape"))
        return refusal

    def _take_facts(self, facts: dict[str, Any]) -> None:
        """Take the number of tensors, the next tensor's header, or the ONNX file's problem."""
        reader = self._tensor_reader
        if self._phase == "weights" and reader is None:
            self._tensor_reader = TensorReader(facts.get("tensors"))
        elif self._phase == "weights" and reader is not None:
            reader.announce(facts)
        elif self._phase == "onnx" and "onnx_problem" in facts:
            problem = clean(str(facts["onnx_problem"]), _MAX_PROBLEM)
            self.onnx_problem = " ".join(problem.split()) or "it failed"
        else:
            raise wire.WireError("facts out of order")


class AnswersJudge(Judge):
    """Judges one set of answers that a worker gives with a file of a trained network.

    It claims with `needs_setup` that the weights load only after `train_setup`.
    """

    def __init__(self, labels: Labels, classes: int, phases: tuple[str, ...]) -> None:
        """Expect one set of answers, once the worker has reported these phases in order."""
        super().__init__(labels, classes, 1, Budget())
        self._script = [*((name, 0) for name in phases), ("answer", 1)]
        self.needs_setup = False

    @property
    def judged(self) -> tuple[int, int]:
        """Number of correct answers and of images; only once the judge is done."""
        return self.epochs[-1].correct, self.epochs[-1].total

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        self.needs_setup = facts.get("needs_setup") is True
        return super()._enter(facts)


def _in_shape(shape: object) -> tuple[int, ...]:
    """Check the shape of the input images, (1, c, h, w). Raises: wire.WireError."""
    if (
        not isinstance(shape, list)
        or len(shape) != 4
        or not all(type(n) is int and n > 0 for n in shape)
        or math.prod(shape) > _MOST_PIXELS
    ):
        raise wire.WireError("no shape of images")
    return tuple(shape)
