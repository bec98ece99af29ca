"""Compute the size of a layer list's last feature map from its text, without running it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nngpt.finetuning.corpus.layers import layer_name, named_arguments


def last_map_side(layers: Sequence[str], side: int) -> int:
    """Return the side of the last feature map of a square image, 0 if a layer does not fit.

    Convolutions and pooling layers with one number for both directions are counted; all other
    layers count as leaving the map unchanged.

    Args:
        side: side of the image in pixels.
    """
    for text in layers:
        layer = ast.parse(text, mode="eval").body
        name = layer_name(layer.func) if isinstance(layer, ast.Call) else ""
        if isinstance(layer, ast.Call) and (name == "LazyConv2d" or name.endswith("Pool2d")):
            side = _side_after(layer, side, pool=name != "LazyConv2d")
        if side < 1:
            return 0
    return side


def _side_after(layer: ast.Call, side: int, pool: bool) -> int:
    """Return the side of the map after one convolution or pooling layer."""
    arguments = named_arguments(layer) or {}
    numbers = {name: _number(value) for name, value in arguments.items()}
    kernel = numbers.get("kernel_size", 1)
    stride = numbers.get("stride", kernel if pool else 1)
    reach = numbers.get("dilation", 1) * (kernel - 1)
    return (side + 2 * numbers.get("padding", 0) - reach - 1) // stride + 1


def _number(value: ast.expr) -> int:
    """Return an integer constant, 1 for any other expression."""
    number = value.value if isinstance(value, ast.Constant) else None
    return number if isinstance(number, int) else 1
