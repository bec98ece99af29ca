"""Receive a network's weights from an untrusted process, and write them as a safetensors file.

Nothing is unpickled and no code of the network is imported: names, types and shapes are checked
against fixed rules, and the bytes are only counted and copied.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nngpt.records import WeightTensor
from nngpt.sandbox import wire

_TYPES = {
    "float32": (4, "F32"), "float64": (8, "F64"), "float16": (2, "F16"), "bfloat16": (2, "BF16"),
    "int64": (8, "I64"), "int32": (4, "I32"), "int16": (2, "I16"), "int8": (1, "I8"),
    "uint8": (1, "U8"), "bool": (1, "BOOL"),
}  # fmt: skip
"""Bytes of one element and name in safetensors, by the torch types that may be sent."""

ITEM_BYTES = {name: size for name, (size, _) in _TYPES.items()}
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
_LONGEST_NAME = 200
_MOST_TENSORS = 10_000
_MOST_DIMENSIONS = 8
_MOST_ELEMENTS = 1 << 40
_MOST_BYTES = 512 << 20
_ALIGNMENT = 8

WEIGHTS, STATE = "weights.", "state."
"""Prefixes of the tensors of a network between two stages of its training, and of the optimiser's
state of each parameter."""

MOST_ONNX_BYTES = _MOST_BYTES + (16 << 20)
"""Largest ONNX file in bytes: the weights and 16 MiB for the graph."""

Announced = tuple[str, str, tuple[int, ...], int]
"""Name, type, shape and bytes of a tensor."""


class TensorRules:
    """Rules for exported tensors; the worker applies them before sending, the parent on arrival."""

    def __init__(self, count: object) -> None:
        """Expect `count` tensors. Raises: wire.WireError if that is not a number of tensors."""
        if type(count) is not int or not 0 < count <= _MOST_TENSORS:
            raise wire.WireError(f"no number of tensors: {str(count)[:20]}")
        self.count, self._left = count, _MOST_BYTES
        self._names: set[str] = set()

    def admit(self, facts: Mapping[str, Any]) -> Announced:
        """Check the next tensor's header: `tensor` (its name), `dtype` and `shape`.

        Raises: wire.WireError if the header breaks a rule.
        """
        name, dtype = _name(facts.get("tensor")), facts.get("dtype")
        if name in self._names:
            raise wire.WireError(f"a second tensor {name!r}")
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            raise wire.WireError(f"tensor {name!r} has a type that cannot be exported")
        shape = _shape(facts.get("shape"), name)
        size = math.prod(shape) * ITEM_BYTES[dtype]
        if size > self._left:
            raise wire.WireError(f"the weights are too large at tensor {name!r}")
        self._names.add(name)
        self._left -= size
        return name, dtype, shape, size


class TensorReader:
    """Receives `tensors` one after another: first the header of each, then its bytes."""

    def __init__(self, count: object) -> None:
        """Expect `count` tensors. Raises: wire.WireError if that is not a number of tensors."""
        self._rules = TensorRules(count)
        self._next: Announced | None = None
        self.tensors: list[WeightTensor] = []

    @property
    def complete(self) -> bool:
        """True once all tensors have arrived."""
        return len(self.tensors) == self._rules.count

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Take the next tensor's header. Raises: wire.WireError if it is wrong or out of order."""
        if self._next is not None or self.complete:
            raise wire.WireError("a tensor out of order")
        self._next = self._rules.admit(facts)

    def allows(self, length: int) -> bool:
        """Return True if a payload of `length` bytes is expected now."""
        return self._next is not None and length == self._next[3]

    def take(self, data: bytes) -> None:
        """Take the bytes of the announced tensor. Raises: wire.WireError."""
        if self._next is None:
            raise wire.WireError("a tensor out of order")
        name, dtype, shape, _ = self._next
        if dtype == "bool" and data.strip(b"\0\1"):
            raise wire.WireError(f"tensor {name!r} is not bool")
        self._next = None
        self.tensors.append(WeightTensor(name, dtype, shape, data))


def safetensors_file(tensors: Sequence[WeightTensor]) -> bytes:
    """Return tensors as a safetensors file; the widest elements come first, so all are aligned."""
    ordered = sorted(tensors, key=lambda tensor: (-ITEM_BYTES[tensor.dtype], tensor.name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in ordered:
        start, end = end, end + len(tensor.data)
        kind, shape = _TYPES[tensor.dtype][1], list(tensor.shape)
        header[tensor.name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *(t.data for t in ordered)])


def part_of(file: bytes, prefix: str) -> bytes:
    """Return those tensors of a safetensors file whose names begin with `prefix`, without it.

    Raises: ValueError if it is no such file.
    """
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    kinds = {name: torch_name for torch_name, (_, name) in _TYPES.items()}
    found = []
    for name, facts in header.items():
        if name.startswith(prefix):
            start, end = facts["data_offsets"]
            data = file[8 + length + start : 8 + length + end]
            kind, shape = kinds[facts["dtype"]], tuple(facts["shape"])
            found.append(WeightTensor(name.removeprefix(prefix), kind, shape, data))
    return safetensors_file(found)


def _name(name: object) -> str:
    """Check a tensor's name: words and dots, no path, no reserved key. Raises: wire.WireError."""
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise wire.WireError(f"{str(name)[:60]!r} is no name of a tensor")
    if name == "__metadata__":
        raise wire.WireError("a tensor has a reserved name")
    return name


def _shape(shape: object, name: str) -> tuple[int, ...]:
    """Check a tensor's shape. Raises: wire.WireError."""
    if (
        not isinstance(shape, list)
        or len(shape) > _MOST_DIMENSIONS
        or not all(type(n) is int and 0 <= n < _MOST_ELEMENTS for n in shape)
        or math.prod(n for n in shape if n) >= _MOST_ELEMENTS  # if empty, torch counts the strides
    ):
        raise wire.WireError(f"tensor {name!r} has no shape")
    return tuple(shape)
