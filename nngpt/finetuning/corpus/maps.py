"""How large the maps of a layer list are at its end, read off its text; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nngpt.finetuning.corpus.lazy import arguments, layer_name


def side(layers: Sequence[str], start: int) -> int:
    """Side of the map that the layers make of one of `start` × `start`, 0 if one of them cannot.

    Convolutions and pools with one number for both directions are counted; other layers are taken
    to leave the map as it is.
    """
    for text in layers:
        layer = ast.parse(text, mode="eval").body
        name = layer_name(layer.func) if isinstance(layer, ast.Call) else ""
        if isinstance(layer, ast.Call) and (name == "LazyConv2d" or name.endswith("Pool2d")):
            start = _after(layer, start, pool=name != "LazyConv2d")
        if start < 1:
            return 0
    return start


def _after(layer: ast.Call, start: int, pool: bool) -> int:
    numbers = {name: _number(value) for name, value in (arguments(layer) or {}).items()}
    kernel = numbers.get("kernel_size", 1)
    stride = numbers.get("stride", kernel if pool else 1)
    reach = numbers.get("dilation", 1) * (kernel - 1)
    return (start + 2 * numbers.get("padding", 0) - reach - 1) // stride + 1


def _number(value: ast.expr) -> int:
    """What is written there; 1 if it is anything but one whole number."""
    number = value.value if isinstance(value, ast.Constant) else None
    return number if isinstance(number, int) else 1
