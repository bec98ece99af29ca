"""Layers as `features` mode writes them: lazy, sizes first, the rest by name, and without a head.

The head (pooling to a fixed size, flattening, linear layers) is left to the template.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

_PARAMETERS = {
    "Conv2d": "in_channels out_channels kernel_size stride padding dilation groups bias",
    "ConvTranspose2d": "in_channels out_channels kernel_size stride padding output_padding groups",
    "BatchNorm2d": "num_features eps momentum affine track_running_stats",
    "InstanceNorm2d": "num_features eps momentum affine track_running_stats",
    "MaxPool2d": "kernel_size stride padding dilation return_indices ceil_mode",
    "AvgPool2d": "kernel_size stride padding ceil_mode count_include_pad",
    "ReLU": "inplace",
    "ReLU6": "inplace",
    "SELU": "inplace",
    "SiLU": "inplace",
    "Mish": "inplace",
    "Hardswish": "inplace",
    "Hardsigmoid": "inplace",
}
"""Names of the first positional parameters."""

_LAZY = frozenset({"Conv2d", "ConvTranspose2d", "BatchNorm2d", "InstanceNorm2d"})
_LEFT_OUT = frozenset({"in_channels", "num_features", "inplace"})
_PLAIN = ("out_channels", "kernel_size")
_HEAD = frozenset(
    {"AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "Flatten", "Linear", "LazyLinear"}
    | {"Softmax", "LogSoftmax"}
)


def trunk(layers: Sequence[ast.expr]) -> list[ast.expr]:
    """The layers before the head, without those that do nothing; what is no layer stays."""
    found: list[ast.expr] = []
    for layer in layers:
        kind = layer_name(layer.func) if isinstance(layer, ast.Call) else ""
        if kind in _HEAD:
            break
        if kind != "Identity":
            found.append(layer)
    return found


def lazy(layer: ast.expr) -> ast.expr:
    """The layer without its input channels, sizes first, the rest by name."""
    if not isinstance(layer, ast.Call):
        return layer
    kind = layer_name(layer.func)
    given = None if kind.startswith("Lazy") else arguments(layer)
    if given is None:
        kept = [keyword for keyword in layer.keywords if keyword.arg not in _LEFT_OUT]
        return ast.Call(layer.func, layer.args, kept)
    for name in _LEFT_OUT:
        given.pop(name, None)
    plain = [given.pop(name) for name in _PLAIN if name in given]
    keywords = [ast.keyword(name, value) for name, value in given.items()]
    name = f"Lazy{kind}" if kind in _LAZY else kind
    return ast.Call(ast.Attribute(ast.Name("nn"), name), plain, keywords)


def arguments(layer: ast.Call) -> dict[str, ast.expr] | None:
    """What a layer, lazy or not, is given, by name; None where the names are not known."""
    kind = layer_name(layer.func)
    names = _PARAMETERS.get(kind.removeprefix("Lazy"), "").split()
    if kind.startswith("Lazy"):
        names = [name for name in names if name not in _LEFT_OUT]
    if len(layer.args) > len(names) or not names or any(k.arg is None for k in layer.keywords):
        return None
    given = dict(zip(names, layer.args, strict=False))
    return given | {keyword.arg: keyword.value for keyword in layer.keywords if keyword.arg}


def layer_name(function: ast.expr) -> str:
    """`Conv2d` for `nn.Conv2d` and `torch.nn.Conv2d`, "" for anything else."""
    if not isinstance(function, ast.Attribute):
        return ""
    module = function.value
    if isinstance(module, ast.Attribute) and module.attr == "nn":
        return function.attr if getattr(module.value, "id", "") == "torch" else ""
    return function.attr if getattr(module, "id", "") == "nn" else ""
