"""Bodies of networks made of layer lists, in ways in which LEMUR's networks are written.

The layers may be one sequence, one for each block, a list that grows, or calls of a helper class;
a block may end with a small module (a residual branch, a gate). Channels are counted along, so that
what is written fits together. All heads pool to one place: a small LLM that has seen 2 × 2 places
multiplies by them where it has pooled to one (docs/learning.md).
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

Layers = tuple[str, ...]

_ENTRY = "self.in_channels"
_WIDTHS = (32, 64, 96, 128)
_GATES = ("Gate", "ChannelGate", "SqueezeExcite", "SEBlock", "ChannelAttention")
_BRANCHES = ("Residual", "ResidualBlock", "SkipBlock", "Bottleneck", "DepthwiseBlock")
_UNITS = ("ConvBlock", "ConvUnit", "ConvBNAct", "BasicConv", "ConvLayer")


@dataclass
class _Text:
    """A network in the making: lines of `__init__` and `forward`, and classes before it."""

    init: list[str] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


def blocks(layers: Sequence[str]) -> list[Layers]:
    """Each convolution of a layer list with what follows it."""
    starts = [i for i, layer in enumerate(layers) if "Conv" in layer]
    ends = [*starts[1:], len(layers)]
    return [tuple(layers[start:end]) for start, end in zip(starts, ends, strict=True)]


def body(layers: Sequence[str], activations: Sequence[str], chance: random.Random) -> str:
    """Helper classes and `class Net` with `__init__` and `forward` around a lazy layer list."""
    text = _Text()
    named = chance.random() < 0.5
    parts, widths = list[list[str]](), list[int]()
    for block in blocks(layers):
        part, width = _counted(block, widths[-1] if widths else 0, named)
        parts.append(part)
        widths.append(width)
    if chance.random() < 0.6:
        _add_modules(text, parts, widths, activations, chance)
    arrange = chance.choice((_as_one, _as_blocks, _as_growing_list, _as_units))
    arrange(text, parts, chance)
    _add_head(text, widths[-1], activations, chance)
    return _written(text)


def _counted(block: Layers, channels: int, named: bool) -> tuple[list[str], int]:
    """A block's layers with their input channels (0: the image's), and its output channels."""
    found = []
    for layer in block:
        call = ast.parse(layer, mode="eval").body
        assert isinstance(call, ast.Call)
        name = ast.unparse(call.func).replace("Lazy", "")
        if name == "nn.Conv2d":
            width, size, *rest = call.args
            options = [ast.unparse(each) for each in (*rest, *call.keywords)]
            kernel = ("kernel_size=" if named else "") + ast.unparse(size)
            entry = str(channels) if channels else _ENTRY
            layer = f"nn.Conv2d({', '.join((entry, ast.unparse(width), kernel, *options))})"
            channels = int(ast.unparse(width))
        elif name == "nn.BatchNorm2d":
            layer = f"nn.BatchNorm2d({channels})"
        found.append(layer)
    return found, channels


def _add_modules(
    text: _Text,
    parts: Sequence[list[str]],
    widths: Sequence[int],
    activations: Sequence[str],
    chance: random.Random,
) -> None:
    """One kind of small module, at the end of some blocks."""
    activation = chance.choice(activations)
    if chance.random() < 0.4:
        name = chance.choice(_GATES)
        text.classes.append(_gate(name, activation, chance))
    else:
        name = chance.choice(_BRANCHES)
        text.classes.append(_branch(name, activation, chance))
    pairs = list(zip(parts, widths, strict=True))
    chosen = [pair for pair in pairs if chance.random() < 0.5] or [chance.choice(pairs)]
    for part, width in chosen:
        part.append(f"{name}({width})")


def _gate(name: str, activation: str, chance: random.Random) -> str:
    inner = f"channels // {chance.choice((2, 4, 8))}"
    layers = (
        "nn.AdaptiveAvgPool2d(1)",
        f"nn.Conv2d(channels, {inner}, 1)",
        activation,
        f"nn.Conv2d({inner}, channels, 1)",
        "nn.Sigmoid()",
    )
    return f"""class {name}(nn.Module):

    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Sequential({", ".join(layers)})

    def forward(self, x):
        return x * self.fc(x)
"""


def _branch(name: str, activation: str, chance: random.Random) -> str:
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
    result = chance.choice(("x + self.body(x)", f"{_function(activation)}(x + self.body(x))"))
    return f"""class {name}(nn.Module):

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential({", ".join(layers)})

    def forward(self, x):
        return {result}
"""


def _function(activation: str) -> str:
    """`F.gelu` for `nn.GELU()`."""
    name = activation.removeprefix("nn.").removesuffix("()")
    return "F." + {"LeakyReLU": "leaky_relu"}.get(name, name.lower())


def _as_one(text: _Text, parts: Sequence[Sequence[str]], chance: random.Random) -> None:
    name = chance.choice(("features", "layers", "body", "backbone"))
    inner = ", ".join(layer for part in parts for layer in part)
    text.init.append(f"self.{name} = nn.Sequential({inner})")
    text.forward.append(f"x = self.{name}(x)")


def _as_blocks(text: _Text, parts: Sequence[Sequence[str]], chance: random.Random) -> None:
    name = chance.choice(("block", "stage", "conv_block", "layer"))
    for number, part in enumerate(parts, 1):
        text.init.append(f"self.{name}{number} = nn.Sequential({', '.join(part)})")
        text.forward.append(f"x = self.{name}{number}(x)")


def _as_growing_list(text: _Text, parts: Sequence[Sequence[str]], chance: random.Random) -> None:
    name = chance.choice(("features", "layers", "stages"))
    text.init.append("layers = []")
    text.init += [f"layers += [{', '.join(part)}]" for part in parts]
    text.init.append(f"self.{name} = nn.Sequential(*layers)")
    text.forward.append(f"x = self.{name}(x)")


def _as_units(text: _Text, parts: Sequence[Sequence[str]], chance: random.Random) -> None:
    """The convolution and its normalisation in a class of their own, the rest as it is."""
    name = chance.choice(_UNITS)
    text.classes.append(
        f"""class {name}(nn.Module):

    def __init__(self, in_channels, out_channels, *args, **kwargs):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, *args, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return self.bn(self.conv(x))
"""
    )
    units = [
        [
            f"{name}({part[0].removeprefix('nn.Conv2d(')}",
            *(x for x in part[1:] if "BatchNorm" not in x),
        ]
        for part in parts
    ]
    chance.choice((_as_one, _as_blocks, _as_growing_list))(text, units, chance)


def _add_head(text: _Text, width: int, activations: Sequence[str], chance: random.Random) -> None:
    if chance.random() < 0.3:
        text.forward.append(f"x = x.{chance.choice(('mean', 'amax'))}(dim=(2, 3))")
    else:
        kind = chance.choice(("Avg", "Avg", "Max"))
        text.init.append(f"self.pool = nn.Adaptive{kind}Pool2d(1)")
        flat = chance.choice(("torch.flatten(x, 1)", "x.flatten(1)", "x.view(x.size(0), -1)"))
        text.forward += ["x = self.pool(x)", f"x = {flat}"]
    name = chance.choice(("classifier", "classifier", "fc", "head"))
    final = f"nn.Linear({width}, self.num_classes)"
    if chance.random() < 0.5:
        middle, activation = chance.choice(_WIDTHS), chance.choice(activations)
        layers = [f"nn.Linear({width}, {middle})", activation]
        if chance.random() < 0.5:
            layers.append("nn.Dropout(prm['dropout'])")
        final = f"nn.Sequential({', '.join(layers)}, nn.Linear({middle}, self.num_classes))"
    text.init.append(f"self.{name} = {final}")
    text.forward.append(f"return self.{name}(x)")


def _written(text: _Text) -> str:
    init = ["super().__init__()", "self.device = device", f"{_ENTRY} = in_shape[1]"]
    init += ["self.num_classes = out_shape[0]", *text.init]
    return "\n".join(
        (
            *text.classes,
            "class Net(nn.Module):\n",
            "    def __init__(self, in_shape, out_shape, prm, device):",
            *(f"        {line}" for line in init),
            "",
            "    def forward(self, x):",
            *(f"        {line}" for line in text.forward),
        )
    )
