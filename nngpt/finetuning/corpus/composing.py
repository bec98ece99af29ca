"""Bodies of networks made of layer lists, in ways in which LEMUR's networks are written.

The layers may be one sequence, one for each block, a list that grows, a module list, each by
itself, or calls of a helper class; a block may end with a small module (a residual branch, a gate).
Channels are counted along, or held in a variable, so that what is written fits together. All heads
pool to one place: a small LLM that has seen 2 × 2 places multiplies by them where it has pooled to
one (docs/learning.md).
"""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

Layers = tuple[str, ...]

_WIDTHS = (32, 64, 96, 128)
_GATES = ("Gate", "ChannelGate", "SqueezeExcite", "SEBlock", "ChannelAttention")
_SPATIAL = ("SpatialGate", "SpatialAttention", "AttentionGate")
_BRANCHES = ("Residual", "ResidualBlock", "SkipBlock", "Bottleneck", "DepthwiseBlock")
_UNITS = ("ConvBlock", "ConvUnit", "ConvBNAct", "BasicConv", "ConvLayer")
_TRACKED = 0.85
"""Share of bodies in which a variable holds the latest width, where blocks have lines of their
own: a small LLM that copies numbers over many lines gets many wrong (docs/learning.md)."""
_SUPER = ("super().__init__()", "super().__init__()", "super({}, self).__init__()")

_GIVEN: tuple[tuple[str, str, Layers], ...] = (
    (
        "self.in_channels",
        "self.num_classes",
        ("self.in_channels = in_shape[1]", "self.num_classes = out_shape[0]"),
    ),
    ("channels", "classes", ("channels, classes = in_shape[1], out_shape[0]",)),
    ("in_shape[1]", "out_shape[0]", ()),
)
"""How the image's channels and the number of classes are called, and the lines that name them."""


@dataclass
class _Text:
    """A network in the making: lines of `__init__` and `forward`, and classes before it.

    Attributes:
        activations: to choose from for what is added to the layers.
        chance: draws whatever is not given.
        entry, labels: how the image's channels and the number of classes are called.
        widths: output channels of each block.
        tracked: the variable that holds the latest of them, "" if numbers are written instead.
    """

    activations: Sequence[str]
    chance: random.Random
    entry: str
    labels: str
    init: list[str] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    tracked: str = ""

    @property
    def latest(self) -> str:
        """The latest width as it is written."""
        return self.tracked or (str(self.widths[-1]) if self.widths else self.entry)

    def after_block(self, number: int) -> None:
        """Note how wide the map is after a block, where a variable holds that."""
        if self.tracked:
            self.init.append(f"{self.tracked} = {self.widths[number]}")


def blocks(layers: Sequence[str]) -> list[Layers]:
    """Each convolution of a layer list with what follows it."""
    starts = [i for i, layer in enumerate(layers) if "Conv" in layer]
    ends = [*starts[1:], len(layers)]
    return [tuple(layers[start:end]) for start, end in zip(starts, ends, strict=True)]


def body(layers: Sequence[str], activations: Sequence[str], chance: random.Random) -> str:
    """Helper classes and `class Net` with `__init__` and `forward` around a lazy layer list."""
    arrange = chance.choice(_ARRANGEMENTS)
    tracking = arrange is not _as_one and chance.random() < _TRACKED
    text = _begun(activations, chance, tracking)
    named = chance.random() < 0.5
    parts = list[list[str]]()
    for block in blocks(layers):
        part, width = _counted(block, text.latest, named)
        parts.append(part)
        text.widths.append(width)
    if chance.random() < 0.6:
        _add_modules(text, parts)
    arrange(text, parts)
    _add_head(text)
    return _written(text)


def _begun(activations: Sequence[str], chance: random.Random, tracking: bool) -> _Text:
    entry, labels, lines = chance.choice(_GIVEN)
    if not tracking:
        return _Text(activations, chance, entry, labels, list(lines))
    tracked = chance.choice(("channels", "width", "c", "filters"))
    first = [f"{tracked} = in_shape[1]"]
    return _Text(activations, chance, tracked, "out_shape[0]", first, tracked=tracked)


def _counted(block: Layers, entry: str, named: bool) -> tuple[list[str], int]:
    """A block's layers with their input channels, and its output channels."""
    found, channels = list[str](), 0
    for layer in block:
        call = ast.parse(layer, mode="eval").body
        assert isinstance(call, ast.Call)
        name = ast.unparse(call.func).replace("Lazy", "")
        if name == "nn.Conv2d":
            width, size, *rest = call.args
            options = [ast.unparse(each) for each in (*rest, *call.keywords)]
            kernel = ("kernel_size=" if named else "") + ast.unparse(size)
            given = (entry, ast.unparse(width), kernel, *options)
            layer = f"nn.Conv2d({', '.join(given)})"
            channels = int(ast.unparse(width))
        elif name == "nn.BatchNorm2d":
            layer = f"nn.BatchNorm2d({channels})"
        found.append(layer)
    return found, channels


def _add_modules(text: _Text, parts: Sequence[list[str]]) -> None:
    """One kind of small module, at the end of some blocks."""
    chance = text.chance
    activation = chance.choice(text.activations)
    write, names = chance.choice(
        (
            (_gate, _GATES),
            (_linear_gate, _GATES),
            (_spatial_gate, _SPATIAL),
            (_branch, _BRANCHES),
            (_branch, _BRANCHES),
            (_branch, _BRANCHES),
        )
    )
    name = chance.choice(names)
    text.classes.append(write(name, activation, chance))
    pairs = list(zip(parts, text.widths, strict=True))
    chosen = [pair for pair in pairs if chance.random() < 0.5] or [chance.choice(pairs)]
    for part, width in chosen:
        part.append(f"{name}({width})")


def _module(
    name: str, takes: str, init: Sequence[str], forward: Sequence[str], chance: random.Random
) -> str:
    """A class of its own for some layers."""
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
    return _module(name, "channels", init, [f"return x * self.{own}(x)"], chance)


def _linear_gate(name: str, activation: str, chance: random.Random) -> str:
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
    return _module(name, "channels", init, forward, chance)


def _spatial_gate(name: str, activation: str, chance: random.Random) -> str:
    """One weight for each place; the activation is not needed."""
    size = chance.choice((3, 5, 7))
    init = [f"self.conv = nn.Conv2d(1, 1, {size}, padding={size // 2})"]
    forward = (
        f"a = x.{chance.choice(('mean', 'amax'))}(dim=1, keepdim=True)",
        "return x * torch.sigmoid(self.conv(a))",
    )
    return _module(name, "channels", init, forward, chance)


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
    own = chance.choice(("body", "block", "branch", "conv"))
    init = [f"self.{own} = nn.Sequential({', '.join(layers)})"]
    steps, inner = list[str](), f"self.{own}(x)"
    if chance.random() < 0.4:
        init, inner = _calls(layers, (activation,), Counter())
        if chance.random() < 0.5:
            steps, inner = [f"out = {inner}"], "out"
    result = chance.choice((f"x + {inner}", f"{_function(activation)}(x + {inner})"))
    return _module(name, "channels", init, [*steps, f"return {result}"], chance)


def _function(activation: str) -> str:
    """`F.gelu` for `nn.GELU()`."""
    name = activation.removeprefix("nn.").removesuffix("()")
    return "F." + {"LeakyReLU": "leaky_relu"}.get(name, name.lower())


_ROLES = (("Conv", "conv"), ("Norm", "bn"), ("Pool", "pool"), ("Dropout", "drop"))
"""What a layer is called whose text holds the first."""


def _calls(
    layers: Sequence[str], activations: Sequence[str], count: Counter[str]
) -> tuple[list[str], str]:
    """Lines that make each layer by itself, and the nested calls; activations are functions.

    Layers are numbered within their role (`conv1`, `conv2`); those that have none, such as gates,
    are called by their class: an LLM puts anything into what is called `extra1`. `count` says how
    many there are, and counts on.
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


def _as_one(text: _Text, parts: Sequence[Sequence[str]]) -> None:
    name = text.chance.choice(("features", "layers", "body", "backbone"))
    inner = ", ".join(layer for part in parts for layer in part)
    text.init.append(f"self.{name} = nn.Sequential({inner})")
    text.forward.append(f"x = self.{name}(x)")


def _as_blocks(text: _Text, parts: Sequence[Sequence[str]]) -> None:
    name = text.chance.choice(("block", "stage", "conv_block", "layer"))
    for number, part in enumerate(parts, 1):
        text.init.append(f"self.{name}{number} = nn.Sequential({', '.join(part)})")
        text.after_block(number - 1)
        text.forward.append(f"x = self.{name}{number}(x)")


def _as_growing_list(text: _Text, parts: Sequence[Sequence[str]]) -> None:
    name = text.chance.choice(("features", "layers", "stages"))
    text.init.append("layers = []")
    for number, part in enumerate(parts):
        text.init.append(f"layers += [{', '.join(part)}]")
        text.after_block(number)
    text.init.append(f"self.{name} = nn.Sequential(*layers)")
    text.forward.append(f"x = self.{name}(x)")


def _as_module_list(text: _Text, parts: Sequence[Sequence[str]]) -> None:
    name, one = text.chance.choice((("blocks", "block"), ("stages", "stage"), ("layers", "layer")))
    text.init.append(f"self.{name} = nn.ModuleList()")
    for number, part in enumerate(parts):
        text.init.append(f"self.{name}.append(nn.Sequential({', '.join(part)}))")
        text.after_block(number)
    text.forward += [f"for {one} in self.{name}:", f"    x = {one}(x)"]


def _as_calls(text: _Text, parts: Sequence[Sequence[str]]) -> None:
    """Each layer by itself: `x = F.relu(self.bn1(self.conv1(x)))`."""
    count = Counter[str]()
    for number, part in enumerate(parts):
        init, call = _calls(part, text.activations, count)
        text.init += init
        text.after_block(number)
        text.forward.append(f"x = {call}")


def _as_units(text: _Text, parts: Sequence[Sequence[str]]) -> None:
    """The convolution and its normalisation in a class of their own, the rest as it is."""
    name = text.chance.choice(_UNITS)
    conv = "nn.Conv2d(in_channels, out_channels, *args, **kwargs)"
    norm = "nn.BatchNorm2d(out_channels)"
    together = [f"self.layers = nn.Sequential({conv}, {norm})"]
    init, call = text.chance.choice(
        (_calls((conv, norm), (), Counter()), (together, "self.layers(x)"))
    )
    takes = "in_channels, out_channels, *args, **kwargs"
    text.classes.append(_module(name, takes, init, [f"return {call}"], text.chance))
    units = [
        [
            f"{name}({part[0].removeprefix('nn.Conv2d(')}",
            *(x for x in part[1:] if "BatchNorm" not in x),
        ]
        for part in parts
    ]
    by_line = (_as_blocks, _as_growing_list, _as_module_list)
    arrange = text.chance.choice(by_line if text.tracked else (_as_one, *by_line))
    arrange(text, units)


_ARRANGEMENTS = (_as_one, _as_blocks, _as_growing_list, _as_module_list, _as_calls, _as_units)


def _add_head(text: _Text) -> None:
    chance = text.chance
    name = chance.choice(("classifier", "classifier", "fc", "head"))
    kind = chance.choice(("Avg", "Avg", "Max"))
    shape = chance.choice(("mean", "pool", "function", "one", "convolution"))
    if shape == "convolution":
        name = chance.choice(("to_classes", "conv_head"))
        text.init.append(f"self.{name} = nn.Conv2d({text.latest}, {text.labels}, 1)")
        pooled = f"self.{name}(x).{chance.choice(('mean', 'mean', 'amax'))}(dim=(2, 3))"
        text.forward.append(f"return {pooled}")
        return
    layers = _linear_layers(text)
    flat = chance.choice(("torch.flatten(x, 1)", "x.flatten(1)", "x.view(x.size(0), -1)"))
    if shape == "mean":
        text.forward.append(f"x = x.{chance.choice(('mean', 'amax'))}(dim=(2, 3))")
    elif shape == "pool":
        text.init.append(f"self.pool = nn.Adaptive{kind}Pool2d(1)")
        text.forward += ["x = self.pool(x)", f"x = {flat}"]
    elif shape == "function":
        text.forward += [f"x = F.adaptive_{kind.lower()}_pool2d(x, 1)", f"x = {flat}"]
    else:
        layers = [f"nn.Adaptive{kind}Pool2d(1)", "nn.Flatten()", *layers]
    whole = layers[0] if len(layers) == 1 else f"nn.Sequential({', '.join(layers)})"
    text.init.append(f"self.{name} = {whole}")
    text.forward.append(f"return self.{name}(x)")


def _linear_layers(text: _Text) -> list[str]:
    width, chance = text.latest, text.chance
    if chance.random() < 0.5:
        return [f"nn.Linear({width}, {text.labels})"]
    middle = chance.choice(_WIDTHS)
    layers = [f"nn.Linear({width}, {middle})", chance.choice(text.activations)]
    if chance.random() < 0.5:
        layers.append("nn.Dropout(prm['dropout'])")
    return [*layers, f"nn.Linear({middle}, {text.labels})"]


def _written(text: _Text) -> str:
    takes = "in_shape, out_shape, prm, device"
    net = _module("Net", takes, ["self.device = device", *text.init], text.forward, text.chance)
    return "\n".join((*text.classes, net.rstrip()))
