"""Put a block into a small network that the evaluator can build, run and train.

The candidate's process imports the block's file, builds the block with guessed arguments, and
passes it tensors of several shapes until one fits.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

WIDTH = 64
"""Number of channels or features that arguments and inputs agree on."""

CONSTRUCT, FORWARD = "cannot be built:", "takes no such input:"
"""Beginnings of refusal reasons that do not come from importing the file."""

_SHAPES = (
    ((WIDTH, 16, 16), False),
    ((16, WIDTH), True),
    ((WIDTH,), False),
    ((3, 32, 32), False),
    ((WIDTH, 16), False),
    ((256, WIDTH), True),
    ((16, 16, WIDTH), True),
    ((WIDTH, 4, 8, 8), False),
)
"""Shape of one input, and whether its channels come last."""

_NAMES: tuple[tuple[str, str], ...] = (
    (r"(num_|n_|n)?heads?(_num)?|nhead|num_attention_heads", "4"),
    (r"num_classes|n_classes|nc|classes", "10"),
    (r"(kernel_size|ks|kernel|k|kernel_sizes?)", "3"),
    (r"(stride|dilation|groups?|num_groups|reduction|expansion|factor|s|d|g)", "1"),
    (r"scale(_factor)?", "1"),
    (r"(padding|pad|p)", "1"),
    (r"(window_size|win_size|ws|block_size)", "4"),
    (r"(depths?|num_layers|layers|n_layers|num_blocks|num_convs|n|num_levels|num_stages)", "2"),
    (r"(input_resolution|resolution|(feat_|fmap_|img_|image_|input_)?size)", "16"),
    (r"(seq_len|num_patches|max_len|num_tokens|length)", "16"),
    (r".*(ratio|mult|multiplier)", "2"),
    (r"(drop|dropout|drop_path|drop_prob|attn_drop|proj_drop|p_drop|.*_rate)", "0.0"),
    (r"(eps|alpha|beta|gamma)", "0.0"),
    (r"(act|act_layer|activation|act_func|nonlinearity)(_layer|_cls)?", "_nn.ReLU"),
    (r"(norm|norm_layer|norm_cls|layer_norm)", "_nn.BatchNorm2d"),
    (r"(layer|module|fn|block|submodule|body|net|model|backbone|attn|ffn|mlp)", "_nn.Identity()"),
    (r"(modules|layers|blocks)", "[_nn.Identity()]"),
    (r"(in_channels_list|channels_list|widths|channels_in|in_channels_per_level)", "[64, 64]"),
)  # fmt: skip
_ANNOTATIONS = (
    ("Callable", "_nn.Identity"),
    ("Module", "_nn.Identity()"),
    ("bool", "False"),
    ("float", "0.5"),
    ("str", "''"),
    ("List[int]", f"[{WIDTH}]"),
    ("list[int]", f"[{WIDTH}]"),
    ("Sequence[int]", f"[{WIDTH}]"),
    ("Tuple[int, int]", "(16, 16)"),
    ("tuple[int, int]", "(16, 16)"),
)

_NETWORK = '''

# --- the block in a network, by nngpt
import torch as _torch
from torch import nn as _nn


def supported_hyperparameters():
    return {{"lr", "momentum"}}


def _first(found):
    """The first floating tensor in what a block returns."""
    if isinstance(found, _torch.Tensor):
        return found if found.is_floating_point() else None
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        for one in found:
            tensor = _first(one)
            if tensor is not None:
                return tensor
    return None


class _Inputs(_nn.Module):
    """Images [b, c, h, w] as [b, *shape]."""

    def __init__(self, channels, shape, last):
        super().__init__()
        self.shape, self.last = shape, last
        width = shape[-1] if last else shape[0]
        positions = _torch.Size(shape).numel() // width
        side = int(positions**0.5)
        self.stem = _nn.Conv2d(channels, width, 1)
        self.grid = (side, positions // side)

    def forward(self, x):
        x = _nn.functional.adaptive_avg_pool2d(self.stem(x), self.grid).flatten(2)
        x = x.transpose(1, 2) if self.last else x
        return x.reshape(x.shape[0], *self.shape)


def _build(channels):
    """The block and its inputs, or why there is none."""
    why = "{construct} it has required arguments without a keyword"
    for attempt in ({attempts}):
        try:
            block = attempt()
        except Exception as error:
            why = f"{construct} {{type(error).__name__}}: {{error}}"
            continue
        for shape, last in {shapes}:
            inputs = _Inputs(channels, shape, last)
            try:
                with _torch.no_grad():
                    found = _first(block(inputs(_torch.randn(2, channels, 16, 16))))
            except Exception as error:
                if not why.startswith("{forward}"):
                    why = f"{forward} {{type(error).__name__}}: {{error}}"
                continue
            if found is not None and found.dim() and found.shape[0] == 2:
                return inputs, block
            why = "{forward} it returns no tensor for each image"
    raise RuntimeError(why[:300])


class Net(_nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.inputs, self.block = _build(in_shape[1])
        self.head = _nn.Linear(32, out_shape[0])

    def forward(self, x):
        found = _first(self.block(self.inputs(x))).flatten(1).unsqueeze(1)
        return self.head(_nn.functional.adaptive_avg_pool1d(found, 32).squeeze(1))

    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = _nn.CrossEntropyLoss().to(self.device)
        self.optimizer = _torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs), labels)
            loss.backward()
            _nn.utils.clip_grad_norm_(self.parameters(), 3)
            self.optimizer.step()
'''


def network(code: str, name: str) -> str:
    """Return a small LEMUR network around a block that is in a file of its own.

    Raises: SyntaxError if the file does not parse.
    """
    calls = [", ".join(f"{k}={v}" for k, v in one.items()) for one in _guess_arguments(code, name)]
    return code + _NETWORK.format(
        attempts="".join(f"lambda: {name}({call}), " for call in calls),
        shapes=_SHAPES,
        construct=CONSTRUCT,
        forward=FORWARD,
    )


def _guess_arguments(code: str, name: str) -> list[dict[str, str]]:
    """Return keyword arguments with which a network around a block may build it.

    Expressions may use `_nn`, which is `torch.nn`. The list is empty if a required parameter has no
    keyword.
    """
    tree = ast.parse(code)
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    function = _constructor(classes, name, set())
    if function is None:
        return [{}]
    first: dict[str, str] = {}
    for parameter in required(function):
        if parameter is None:
            return []
        first[parameter.arg] = _value(parameter)
    lists = {k: f"[{WIDTH}, {WIDTH}]" if v == str(WIDTH) else v for k, v in first.items()}
    pairs = {
        k: f"[{v}, {v}]" if v in ("16", "4") and "head" not in k else v for k, v in first.items()
    }
    counts = {k: "[1, 1]" if v == "2" else v for k, v in lists.items()}
    guesses = [first, pairs, lists, counts]
    return [guess for n, guess in enumerate(guesses) if guess not in guesses[:n]]


def _constructor(
    classes: dict[str, ast.ClassDef], name: str, seen: set[str]
) -> ast.FunctionDef | None:
    """Return the `__init__` of a class or of its nearest base class in the file."""
    node = classes.get(name)
    if node is None or name in seen:
        return None
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return item
    for base in node.bases:
        last = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        found = _constructor(classes, last, seen | {name})
        if found is not None:
            return found
    return None


def required(function: ast.FunctionDef) -> Iterator[ast.arg | None]:
    """Yield a block's parameters without a default; None for one that has no keyword."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    for place, parameter in enumerate(positional[: len(positional) - len(given.defaults)]):
        if place:
            yield None if parameter in given.posonlyargs else parameter
    for parameter, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        if default is None:
            yield parameter


def _value(parameter: ast.arg) -> str:
    for pattern, value in _NAMES:
        if re.fullmatch(pattern, parameter.arg):
            return value
    noted = ast.unparse(parameter.annotation) if parameter.annotation else ""
    return next((value for part, value in _ANNOTATIONS if part in noted), str(WIDTH))
