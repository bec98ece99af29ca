"""Judges that read more than logits: the weights of a network, or answers given with its files.

They run in the parent, like every judge, and trust the worker as little.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nngpt.records import Refusal, WeightTensor
from nngpt.sandbox import wire
from nngpt.sandbox.judge import Budget, Judge, clean
from nngpt.sandbox.tensors import MOST_ONNX_BYTES, TensorReader

_MOST_PIXELS = 1 << 24
_MAX_WORDS = 300


class Collector(Judge):
    """Judges a training, then takes the weights and, if wanted, an ONNX file.

    Attributes:
        in_shape: (1, c, h, w) of what the network gets; a claim.
        onnx: the file's bytes, None before they have come.
        onnx_problem: why the worker could make none, "" if it said nothing of that.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.int64],
        classes: int,
        epochs: int,
        budget: Budget,
        with_onnx: bool,
    ) -> None:
        super().__init__(labels, classes, epochs, budget)
        self._script += [("weights", 0), *([("onnx", 0)] if with_onnx else [])]
        self._with_onnx = with_onnx
        self._reader_of_tensors: TensorReader | None = None
        self.in_shape: tuple[int, ...] = ()
        self.onnx: bytes | None = None
        self.onnx_problem = ""

    @property
    def done(self) -> bool:
        """True once everything has come."""
        settled = not self._with_onnx or self.onnx is not None or bool(self.onnx_problem)
        return self.has_weights and settled

    @property
    def has_weights(self) -> bool:
        """True once every tensor has come."""
        return self._reader_of_tensors is not None and self._reader_of_tensors.complete

    @property
    def tensors(self) -> tuple[WeightTensor, ...]:
        """Those that have come."""
        return tuple(self._reader_of_tensors.tensors) if self._reader_of_tensors else ()

    def _allows(self, kind: bytes, length: int) -> bool:
        if kind == wire.TENSOR:
            reader = self._reader_of_tensors
            return self._phase_name == "weights" and reader is not None and reader.allows(length)
        if kind == wire.ONNX:
            fits = 0 < length <= MOST_ONNX_BYTES
            return self._phase_name == "onnx" and self.onnx is None and fits
        return super()._allows(kind, length)

    @property
    def _phase_name(self) -> str:
        return self._phase[0] if self._phase else ""

    def _take(self, kind: bytes, payload: bytes) -> Refusal | None:
        if kind == wire.TENSOR:
            assert self._reader_of_tensors is not None, "_allows looks first"
            self._reader_of_tensors.take(payload)
            return None
        if kind == wire.ONNX:
            self.onnx = payload
            return None
        return super()._take(kind, payload)

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        if "phase" not in facts:
            self._told(facts)
            return None
        if facts["phase"] == "onnx" and not self.has_weights:
            raise wire.WireError("the weights are incomplete")
        refusal = super()._enter(facts)
        if self._phase_name == "weights":
            self.in_shape = _in_shape(facts.get("in_shape"))
        return refusal

    def _told(self, facts: dict[str, Any]) -> None:
        """How many tensors come, what the next one is, or why there is no ONNX file."""
        reader = self._reader_of_tensors
        if self._phase_name == "weights" and reader is None:
            self._reader_of_tensors = TensorReader(facts.get("tensors"))
        elif self._phase_name == "weights" and reader is not None:
            reader.announce(facts)
        elif self._phase_name == "onnx" and "onnx_problem" in facts:
            said = clean(str(facts["onnx_problem"]), _MAX_WORDS)
            self.onnx_problem = " ".join(said.split()) or "it failed"
        else:
            raise wire.WireError("facts out of order")


class Answers(Judge):
    """Judges one set of answers that a file of a trained network gives.

    Attributes:
        needs_setup: the weights load only after `train_setup`; a claim.
    """

    def __init__(
        self, labels: npt.NDArray[np.int64], classes: int, phases: tuple[str, ...]
    ) -> None:
        """`phases` come before the answers."""
        super().__init__(labels, classes, 1, Budget())
        self._script = [*((name, 0) for name in phases), ("answer", 1)]
        self.needs_setup = False

    @property
    def judged(self) -> tuple[int, int]:
        """Right answers and images; only once it is done."""
        return self.epochs[-1].correct, self.epochs[-1].total

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        self.needs_setup = facts.get("needs_setup") is True
        return super()._enter(facts)


def _in_shape(shape: object) -> tuple[int, ...]:
    if (
        not isinstance(shape, list)
        or len(shape) != 4
        or not all(type(n) is int and n > 0 for n in shape)
        or math.prod(shape) > _MOST_PIXELS
    ):
        raise wire.WireError("no shape of images")
    return tuple(shape)
