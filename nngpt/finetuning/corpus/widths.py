"""Narrows layer lists until they fit a parameter budget; lazy layers need no other change."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nngpt.finetuning.corpus.lazy import layer_name
from nngpt.records import Task

_POOLED = 16
"""Places that the template's head looks at: it pools to 4 × 4."""

_NARROWEST = 8


def narrowed(layers: tuple[str, ...], tasks: Sequence[Task]) -> tuple[str, ...]:
    """The layers with all widths halved as often as the tasks' parameter budget asks for.

    Layers whose widths depend on each other otherwise (groups, Linear) are left as they are.
    """
    budgets = [task.max_parameters for task in tasks if task.max_parameters]
    if not budgets:
        return layers
    trees = [ast.parse(layer, mode="eval").body for layer in layers]
    channels = max(task.in_shape[1] for task in tasks)
    classes = max(task.out_shape[0] for task in tasks)
    while parameters(trees, channels, classes) > min(budgets):
        halved = [_halve(tree) for tree in trees]
        if not any(halved):
            break
    return tuple(map(ast.unparse, trees))


def parameters(layers: Sequence[ast.expr], channels: int, classes: int) -> int:
    """Trainable parameters of the convolutions and of the head, as far as they can be read off."""
    total = 0
    for layer in layers:
        width = _width(layer)
        if width and isinstance(layer, ast.Call):
            total += channels * width * _area(layer) + width
            channels = width
    return total + channels * _POOLED * classes


def _halve(layer: ast.expr) -> bool:
    """Halve the width of a convolution; False if there is none, or it is as narrow as can be."""
    width = _width(layer) // 2
    if width < _NARROWEST or not isinstance(layer, ast.Call):
        return False
    layer.args[0] = ast.Constant(width)
    return True


def _width(layer: ast.expr) -> int:
    """The output channels of an ordinary lazy convolution, 0 for any other layer."""
    if not isinstance(layer, ast.Call) or layer_name(layer.func) != "LazyConv2d":
        return 0
    if not layer.args or any(keyword.arg == "groups" for keyword in layer.keywords):
        return 0
    first = layer.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, int) else 0


def _area(layer: ast.Call) -> int:
    size = layer.args[1] if len(layer.args) > 1 else None
    if isinstance(size, ast.Constant) and isinstance(size.value, int):
        return size.value**2
    if isinstance(size, ast.Tuple) and all(isinstance(e, ast.Constant) for e in size.elts):
        sides = [e.value for e in size.elts if isinstance(e, ast.Constant)]
        return int(sides[0]) * int(sides[-1])  # type: ignore[arg-type]
    return 9
