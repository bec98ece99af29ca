"""Write the small modules of synthetic networks: gates, residual branches, and layers as calls."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

_GATES = ("Gate", "ChannelGate", "SqueezeExcite", "SEBlock", "ChannelAttention")
_SPATIAL = ("SpatialGate", "SpatialAttention", "AttentionGate")
_BRANCHES = ("Residual", "ResidualBlock", "SkipBlock", "Bottleneck", "DepthwiseBlock")
_SUPER = ("super().__init__()", "super().__init__()", "super({}, self).__init__()")


def write_module(
    name: str, takes: str, init: Sequence[str], forward: Sequence[str], chance: random.Random
) -> str:
    """Return the text of a class derived from `nn.Module`.

    Args:
        takes: parameters of `__init__` after `self`.
        init: lines of `__init__`.
        forward: lines of `forward`.
    """
    return "\n".join(
        (
            f"class {name}(nn.Module):\n",
            f"    def __init__(self, {takes}):",
            f"        {chance.choice(_SUPER).format(name)}",
            *(f"        {line}" for line in init),
            "",
            "    def forward(self, x):",
            *(f"        {line}" for line in forward),
            "",
        )
    )


def _gate(name: str, activation: str, chance: random.Random) -> str:
    """Return a squeeze-and-excitation class with 1 × 1 convolutions."""
    inner = f"channels // {chance.choice((2, 4, 8))}"
    layers = (
        "nn.AdaptiveAvgPool2d(1)",
        f"nn.Conv2d(channels, {inner}, 1)",
        activation,
        f"nn.Conv2d({inner}, channels, 1)",
        "nn.Sigmoid()",
    )
    own = chance.choice(("fc", "gate", "scale"))
    init = [f"self.{own} = nn.Sequential({', '.join(layers)})"]
    return write_module(name, "channels", init, [f"return x * self.{own}(x)"], chance)


def _linear_gate(name: str, activation: str, chance: random.Random) -> str:
    """Return a squeeze-and-excitation class with linear layers."""
    inner = chance.choice(("hidden", "inner", "squeezed"))
    init = (
        f"{inner} = max(4, channels // {chance.choice((4, 8, 16))})",
        f"self.fc1 = nn.Linear(channels, {inner})",
        f"self.fc2 = nn.Linear({inner}, channels)",
    )
    forward = (
        f"s = x.{chance.choice(('mean', 'amax'))}(dim=(2, 3))",
        f"s = torch.sigmoid(self.fc2({_function(activation)}(self.fc1(s))))",
        f"return x * {chance.choice(('s[:, :, None, None]', 's.unsqueeze(2).unsqueeze(3)'))}",
    )
    return write_module(name, "channels", init, forward, chance)


def _spatial_gate(name: str, activation: str, chance: random.Random) -> str:
    """Return a class that weights each position; it has no activation."""
    size = chance.choice((3, 5, 7))
    init = [f"self.conv = nn.Conv2d(1, 1, {size}, padding={size // 2})"]
    forward = (
        f"a = x.{chance.choice(('mean', 'amax'))}(dim=1, keepdim=True)",
        "return x * torch.sigmoid(self.conv(a))",
    )
    return write_module(name, "channels", init, forward, chance)


def _branch(name: str, activation: str, chance: random.Random) -> str:
    """Return a class with a residual branch."""
    wide = "nn.Conv2d(channels, channels, 3, padding=1)"
    deep = "nn.Conv2d(channels, channels, 3, padding=1, groups=channels)"
    point = "nn.Conv2d(channels, channels, 1)"
    norm = "nn.BatchNorm2d(channels)"
    layers = chance.choice(
        [
            (wide, norm, activation, wide, norm),
            (wide, norm, activation),
            (deep, norm, activation, point, norm),
            (point, norm, activation, deep, norm),
            (norm, activation, wide),
        ]
    )
    own = chance.choice(("body", "block", "branch", "conv"))
    init = [f"self.{own} = nn.Sequential({', '.join(layers)})"]
    steps, inner = list[str](), f"self.{own}(x)"
    if chance.random() < 0.4:
        init, inner = write_calls(layers, (activation,), Counter())
        if chance.random() < 0.5:
            steps, inner = [f"out = {inner}"], "out"
    result = chance.choice((f"x + {inner}", f"{_function(activation)}(x + {inner})"))
    return write_module(name, "channels", init, [*steps, f"return {result}"], chance)


def _function(activation: str) -> str:
    """Return the function of an activation layer: "F.gelu" for "nn.GELU()"."""
    name = activation.removeprefix("nn.").removesuffix("()")
    return "F." + {"LeakyReLU": "leaky_relu"}.get(name, name.lower())


_ROLES = (("Conv", "conv"), ("Norm", "bn"), ("Pool", "pool"), ("Dropout", "drop"))
"""Part of a layer's class name, and the attribute name of such layers."""


def write_calls(
    layers: Sequence[str], activations: Sequence[str], count: Counter[str]
) -> tuple[list[str], str]:
    """Return lines that set each layer as an attribute, and the nested calls on `x`.

    Activations become functions. Layers are numbered by role (`conv1`, `conv2`); others, such as
    gates, are named after their class: an LLM fills a name like `extra1` with any layer.

    Args:
        count: number of layers written for each role; updated.
    """
    init, call = list[str](), "x"
    for layer in layers:
        if layer in activations:
            call = f"{_function(layer)}({call})"
        else:
            kind = layer.removeprefix("nn.").partition("(")[0]
            role = next((name for part, name in _ROLES if part in kind), kind.lower())
            count[role] += 1
            name = f"self.{role}{count[role]}"
            init.append(f"{name} = {layer}")
            call = f"{name}({call})"
    return init, call


MODULES = (
    (_gate, _GATES),
    (_linear_gate, _GATES),
    (_spatial_gate, _SPATIAL),
    (_branch, _BRANCHES),
    (_branch, _BRANCHES),
    (_branch, _BRANCHES),
)
"""Writers of small modules with the class names to choose from; residual branches are frequent."""
