"""Rewrite layer expressions for `features` mode: lazy, without head, within the budget.

Sizes come first and other arguments by name. The head (pooling to a fixed size, flattening, linear
layers) is left to the template. Lazy layers can be narrowed without any other change.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nngpt.records import Task

_PARAMETERS = {
    "Conv2d": "in_channels out_channels kernel_size stride padding dilation groups bias",
    "ConvTranspose2d": "in_channels out_channels kernel_size stride padding output_padding groups",
    "BatchNorm2d": "num_features eps momentum affine track_running_stats",
    "InstanceNorm2d": "num_features eps momentum affine track_running_stats",
    "MaxPool2d": "kernel_size stride padding dilation return_indices ceil_mode",
    "AvgPool2d": "kernel_size stride padding ceil_mode count_include_pad",
    **dict.fromkeys(
        ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid"), "inplace"
    ),
}
"""Names of the positional parameters of each layer class, in order."""

_LAZY = frozenset({"Conv2d", "ConvTranspose2d", "BatchNorm2d", "InstanceNorm2d"})
_DROPPED = frozenset({"in_channels", "num_features", "inplace"})
_POSITIONAL = ("out_channels", "kernel_size")
_HEAD = frozenset(
    {"AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "Flatten", "Linear", "LazyLinear"}
    | {"Softmax", "LogSoftmax"}
)
_POOLED = 16
"""Positions per channel that the template's head sees: it pools to 4 × 4."""

_MIN_WIDTH = 8


def without_head(layers: Sequence[ast.expr]) -> list[ast.expr]:
    """Return lazy layer expressions before the head, without `nn.Identity`."""
    found: list[ast.expr] = []
    for layer in layers:
        kind = layer_name(layer.func) if isinstance(layer, ast.Call) else ""
        if kind in _HEAD:
            break
        if kind != "Identity":
            found.append(layer)
    return found


def make_lazy(layer: ast.expr) -> ast.expr:
    """Return a layer as lazy, without input channels: sizes positional, other arguments by name."""
    if not isinstance(layer, ast.Call):
        return layer
    kind = layer_name(layer.func)
    given = None if kind.startswith("Lazy") else named_arguments(layer)
    if given is None:
        kept = [keyword for keyword in layer.keywords if keyword.arg not in _DROPPED]
        return ast.Call(layer.func, layer.args, kept)
    for name in _DROPPED:
        given.pop(name, None)
    positional = [given.pop(name) for name in _POSITIONAL if name in given]
    keywords = [ast.keyword(name, value) for name, value in given.items()]
    name = f"Lazy{kind}" if kind in _LAZY else kind
    return ast.Call(ast.Attribute(ast.Name("nn"), name), positional, keywords)


def named_arguments(layer: ast.Call) -> dict[str, ast.expr] | None:
    """Return a lazy layer's arguments by parameter name; None for an unknown layer."""
    kind = layer_name(layer.func)
    names = _PARAMETERS.get(kind.removeprefix("Lazy"), "").split()
    if kind.startswith("Lazy"):
        names = [name for name in names if name not in _DROPPED]
    if len(layer.args) > len(names) or not names or any(k.arg is None for k in layer.keywords):
        return None
    given = dict(zip(names, layer.args, strict=False))
    return given | {keyword.arg: keyword.value for keyword in layer.keywords if keyword.arg}


def layer_name(function: ast.expr) -> str:
    """Return a lazy layer's class: `LazyConv2d` of `torch.nn.LazyConv2d`; "" for others."""
    if not isinstance(function, ast.Attribute):
        return ""
    module = function.value
    if isinstance(module, ast.Attribute) and module.attr == "nn":
        return function.attr if getattr(module.value, "id", "") == "torch" else ""
    return function.attr if getattr(module, "id", "") == "nn" else ""


def narrow_to_budget(layers: tuple[str, ...], tasks: Sequence[Task]) -> tuple[str, ...]:
    """Halve the widths of lazy convolutions until they fit the smallest parameter budget.

    Convolutions with groups and other layers with explicit widths are left unchanged.
    """
    budgets = [task.max_parameters for task in tasks if task.max_parameters]
    if not budgets:
        return layers
    trees = [ast.parse(layer, mode="eval").body for layer in layers]
    channels = max(task.in_shape[1] for task in tasks)
    classes = max(task.out_shape[0] for task in tasks)
    while count_parameters(trees, channels, classes) > min(budgets):
        halved = [_halve_width(tree) for tree in trees]
        if not any(halved):
            break
    return tuple(map(ast.unparse, trees))


def count_parameters(layers: Sequence[ast.expr], channels: int, classes: int) -> int:
    """Return the parameters of lazy convolutions and the head, as read from the expressions.

    Args:
        channels: input channels of the first layer.
        classes: outputs of the head.
    """
    total = 0
    for layer in layers:
        width = _width(layer)
        if width and isinstance(layer, ast.Call):
            total += channels * width * _kernel_area(layer) + width
            channels = width
    return total + channels * _POOLED * classes


def _halve_width(layer: ast.expr) -> bool:
    """Halve the width of a convolution in place; return False if that is not possible."""
    width = _width(layer) // 2
    if width < _MIN_WIDTH or not isinstance(layer, ast.Call):
        return False
    layer.args[0] = ast.Constant(width)
    return True


def _width(layer: ast.expr) -> int:
    """Return the output channels of a lazy convolution without groups, 0 for any other layer."""
    if not isinstance(layer, ast.Call) or layer_name(layer.func) != "LazyConv2d":
        return 0
    if not layer.args or any(keyword.arg == "groups" for keyword in layer.keywords):
        return 0
    first = layer.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, int) else 0


def _kernel_area(layer: ast.Call) -> int:
    """Return the kernel positions of a convolution; 9 if the size cannot be read."""
    size = layer.args[1] if len(layer.args) > 1 else None
    if isinstance(size, ast.Constant) and isinstance(size.value, int):
        return size.value**2
    if isinstance(size, ast.Tuple) and all(isinstance(e, ast.Constant) for e in size.elts):
        sides = [e.value for e in size.elts if isinstance(e, ast.Constant)]
        return int(sides[0]) * int(sides[-1])  # type: ignore[arg-type]
    return 9
