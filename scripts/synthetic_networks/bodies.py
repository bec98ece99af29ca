"""Write layer lists as bodies of networks, in the ways in which LEMUR's networks are written.

The layers may be one sequence, one per block, a growing list, a module list, separate attributes,
or calls of a helper class; a block may end with a small module (a residual branch or a gate).
Channel counts are written as numbers or kept in a variable, so that all shapes match. All heads
pool to one position: a small LLM that has seen 2 × 2 positions multiplies by them where it has
pooled to one (docs/learning.md).
"""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from synthetic_networks.modules import MODULES, write_calls, write_module

Layers = tuple[str, ...]

_WIDTHS = (32, 64, 96, 128)
_UNITS = ("ConvBlock", "ConvUnit", "ConvBNAct", "BasicConv", "ConvLayer")
_TRACKED = 0.85
"""Probability that a variable holds the latest width, where each block has its own lines: a small
LLM that copies numbers over many lines gets many wrong (docs/learning.md)."""


_SHAPE_NAMES: tuple[tuple[str, str, Layers], ...] = (
    (
        "self.in_channels",
        "self.num_classes",
        ("self.in_channels = in_shape[1]", "self.num_classes = out_shape[0]"),
    ),
    ("channels", "classes", ("channels, classes = in_shape[1], out_shape[0]",)),
    ("in_shape[1]", "out_shape[0]", ()),
)
"""Expressions for the image's channels and the number of classes, and the lines that set them."""


@dataclass
class _Draft:
    """A network under construction.

    Attributes:
        activations: activation layers to choose from for added modules.
        chance: random generator for all choices.
        entry: expression for the image's channels.
        labels: expression for the number of classes.
        init: lines of `__init__`.
        forward: lines of `forward`.
        classes: helper classes before `Net`.
        widths: output channels of each block.
        tracked: variable that holds the latest width, "" if numbers are written.
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
        """Expression for the latest width."""
        return self.tracked or (str(self.widths[-1]) if self.widths else self.entry)

    def after_block(self, number: int) -> None:
        """Add the line that sets the width variable after a block, if there is a variable."""
        if self.tracked:
            self.init.append(f"{self.tracked} = {self.widths[number]}")


def split_blocks(layers: Sequence[str]) -> list[Layers]:
    """Split a layer list into blocks: each convolution with the layers after it."""
    starts = [i for i, layer in enumerate(layers) if "Conv" in layer]
    ends = [*starts[1:], len(layers)]
    return [tuple(layers[start:end]) for start, end in zip(starts, ends, strict=True)]


def write_body(layers: Sequence[str], activations: Sequence[str], chance: random.Random) -> str:
    """Return helper classes and a class Net around a lazy layer list, in a random arrangement."""
    arrange = chance.choice(_ARRANGEMENTS)
    tracking = arrange is not _as_one and chance.random() < _TRACKED
    draft = _start_draft(activations, chance, tracking)
    named = chance.random() < 0.5
    parts = list[list[str]]()
    for block in split_blocks(layers):
        part, width = _with_channels(block, draft.latest, named)
        parts.append(part)
        draft.widths.append(width)
    if chance.random() < 0.6:
        _add_modules(draft, parts)
    arrange(draft, parts)
    _add_head(draft)
    return _join(draft)


def _start_draft(activations: Sequence[str], chance: random.Random, tracking: bool) -> _Draft:
    """Return a draft with names for input channels and classes; `tracking` uses a variable."""
    entry, labels, lines = chance.choice(_SHAPE_NAMES)
    if not tracking:
        return _Draft(activations, chance, entry, labels, list(lines))
    tracked = chance.choice(("channels", "width", "c", "filters"))
    first = [f"{tracked} = in_shape[1]"]
    return _Draft(activations, chance, tracked, "out_shape[0]", first, tracked=tracked)


def _with_channels(block: Layers, entry: str, named: bool) -> tuple[list[str], int]:
    """Return a block's layers with explicit channels, and its output channels."""
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


def _add_modules(draft: _Draft, parts: Sequence[list[str]]) -> None:
    """Append one kind of small module to some blocks."""
    chance = draft.chance
    activation = chance.choice(draft.activations)
    write, names = chance.choice(MODULES)
    name = chance.choice(names)
    draft.classes.append(write(name, activation, chance))
    pairs = list(zip(parts, draft.widths, strict=True))
    chosen = [pair for pair in pairs if chance.random() < 0.5] or [chance.choice(pairs)]
    for part, width in chosen:
        part.append(f"{name}({width})")


def _as_one(draft: _Draft, parts: Sequence[Sequence[str]]) -> None:
    """Write all layers as one sequence."""
    name = draft.chance.choice(("features", "layers", "body", "backbone"))
    inner = ", ".join(layer for part in parts for layer in part)
    draft.init.append(f"self.{name} = nn.Sequential({inner})")
    draft.forward.append(f"x = self.{name}(x)")


def _as_blocks(draft: _Draft, parts: Sequence[Sequence[str]]) -> None:
    """Write one sequence per block."""
    name = draft.chance.choice(("block", "stage", "conv_block", "layer"))
    for number, part in enumerate(parts, 1):
        draft.init.append(f"self.{name}{number} = nn.Sequential({', '.join(part)})")
        draft.after_block(number - 1)
        draft.forward.append(f"x = self.{name}{number}(x)")


def _as_growing_list(draft: _Draft, parts: Sequence[Sequence[str]]) -> None:
    """Write a list that grows block by block."""
    name = draft.chance.choice(("features", "layers", "stages"))
    draft.init.append("layers = []")
    for number, part in enumerate(parts):
        draft.init.append(f"layers += [{', '.join(part)}]")
        draft.after_block(number)
    draft.init.append(f"self.{name} = nn.Sequential(*layers)")
    draft.forward.append(f"x = self.{name}(x)")


def _as_module_list(draft: _Draft, parts: Sequence[Sequence[str]]) -> None:
    """Write a module list with one sequence per block."""
    name, one = draft.chance.choice((("blocks", "block"), ("stages", "stage"), ("layers", "layer")))
    draft.init.append(f"self.{name} = nn.ModuleList()")
    for number, part in enumerate(parts):
        draft.init.append(f"self.{name}.append(nn.Sequential({', '.join(part)}))")
        draft.after_block(number)
    draft.forward += [f"for {one} in self.{name}:", f"    x = {one}(x)"]


def _as_calls(draft: _Draft, parts: Sequence[Sequence[str]]) -> None:
    """Write each layer as an attribute: `x = F.relu(self.bn1(self.conv1(x)))`."""
    count = Counter[str]()
    for number, part in enumerate(parts):
        init, call = write_calls(part, draft.activations, count)
        draft.init += init
        draft.after_block(number)
        draft.forward.append(f"x = {call}")


def _as_units(draft: _Draft, parts: Sequence[Sequence[str]]) -> None:
    """Write convolution and normalisation as a helper class, the other layers as they are."""
    name = draft.chance.choice(_UNITS)
    conv = "nn.Conv2d(in_channels, out_channels, *args, **kwargs)"
    norm = "nn.BatchNorm2d(out_channels)"
    together = [f"self.layers = nn.Sequential({conv}, {norm})"]
    init, call = draft.chance.choice(
        (write_calls((conv, norm), (), Counter()), (together, "self.layers(x)"))
    )
    takes = "in_channels, out_channels, *args, **kwargs"
    draft.classes.append(write_module(name, takes, init, [f"return {call}"], draft.chance))
    units = [
        [
            f"{name}({part[0].removeprefix('nn.Conv2d(')}",
            *(x for x in part[1:] if "BatchNorm" not in x),
        ]
        for part in parts
    ]
    by_line = (_as_blocks, _as_growing_list, _as_module_list)
    arrange = draft.chance.choice(by_line if draft.tracked else (_as_one, *by_line))
    arrange(draft, units)


_ARRANGEMENTS = (_as_one, _as_blocks, _as_growing_list, _as_module_list, _as_calls, _as_units)


def _add_head(draft: _Draft) -> None:
    """Add pooling to one position and the classifier."""
    chance = draft.chance
    name = chance.choice(("classifier", "classifier", "fc", "head"))
    kind = chance.choice(("Avg", "Avg", "Max"))
    shape = chance.choice(("mean", "pool", "function", "one", "convolution"))
    if shape == "convolution":
        name = chance.choice(("to_classes", "conv_head"))
        draft.init.append(f"self.{name} = nn.Conv2d({draft.latest}, {draft.labels}, 1)")
        pooled = f"self.{name}(x).{chance.choice(('mean', 'mean', 'amax'))}(dim=(2, 3))"
        draft.forward.append(f"return {pooled}")
        return
    layers = _linear_layers(draft)
    flat = chance.choice(("torch.flatten(x, 1)", "x.flatten(1)", "x.view(x.size(0), -1)"))
    if shape == "mean":
        draft.forward.append(f"x = x.{chance.choice(('mean', 'amax'))}(dim=(2, 3))")
    elif shape == "pool":
        draft.init.append(f"self.pool = nn.Adaptive{kind}Pool2d(1)")
        draft.forward += ["x = self.pool(x)", f"x = {flat}"]
    elif shape == "function":
        draft.forward += [f"x = F.adaptive_{kind.lower()}_pool2d(x, 1)", f"x = {flat}"]
    else:
        layers = [f"nn.Adaptive{kind}Pool2d(1)", "nn.Flatten()", *layers]
    whole = layers[0] if len(layers) == 1 else f"nn.Sequential({', '.join(layers)})"
    draft.init.append(f"self.{name} = {whole}")
    draft.forward.append(f"return self.{name}(x)")


def _linear_layers(draft: _Draft) -> list[str]:
    """Return one linear layer, or two with an activation between them."""
    width, chance = draft.latest, draft.chance
    if chance.random() < 0.5:
        return [f"nn.Linear({width}, {draft.labels})"]
    middle = chance.choice(_WIDTHS)
    layers = [f"nn.Linear({width}, {middle})", chance.choice(draft.activations)]
    if chance.random() < 0.5:
        layers.append("nn.Dropout(prm['dropout'])")
    return [*layers, f"nn.Linear({middle}, {draft.labels})"]


def _join(draft: _Draft) -> str:
    """Return the text of all classes."""
    takes = "in_shape, out_shape, prm, device"
    net = write_module(
        "Net", takes, ["self.device = device", *draft.init], draft.forward, draft.chance
    )
    return "\n".join((*draft.classes, net.rstrip()))
