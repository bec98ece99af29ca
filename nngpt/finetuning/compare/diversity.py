"""What makes networks alike or different, read from what was written; nothing is run.

Kinds and depth are counted in the source: a layer that a loop makes many times counts once. The
training corpus is counted the same way, so ratios are fair where absolute numbers are low.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nngpt.novelty.shingles import shingles

Floats = npt.NDArray[np.float64]

_CONTAINERS = frozenset(
    {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
    | {"Parameter", "Buffer", "Identity"}
)
_WEIGHTED = frozenset(
    {f"Conv{n}d" for n in (1, 2, 3)}
    | {f"ConvTranspose{n}d" for n in (1, 2, 3)}
    | {"Linear", "Bilinear", "MultiheadAttention", "RNN", "LSTM", "GRU", "LSTMCell", "GRUCell"}
    | {"TransformerEncoderLayer", "TransformerDecoderLayer", "Embedding"}
)


@dataclass(frozen=True)
class Network:
    """A network as it was written.

    Attributes:
        kinds: distinct kinds of layers; `LazyConv2d` is a `Conv2d`.
        depth: layers with weight matrices or kernels (convolution, linear, attention, recurrent).
        shingles: runs of ten tokens, for likeness.
    """

    kinds: frozenset[str]
    depth: int
    shingles: frozenset[int]


def network(code: str) -> Network:
    """Kinds, depth and shingles of a network's code (`nngpt.generation.contract.novelty_text`)."""
    layers = _layers(code)
    depth = sum(layer in _WEIGHTED for layer in layers)
    return Network(frozenset(layers), depth, shingles(code))


def likeness(one: Sequence[Network], other: Sequence[Network]) -> Floats:
    """Exact Jaccard similarities [len(one), len(other)] of the networks' shingles, 0…1."""
    from scipy.sparse import csr_array

    numbers: dict[int, int] = {}

    def counted(networks: Sequence[Network]) -> tuple[list[int], list[int]]:
        rows, columns = [], []
        for row, found in enumerate(networks):
            rows += [row] * len(found.shingles)
            columns += [numbers.setdefault(s, len(numbers)) for s in found.shingles]
        return rows, columns

    places = counted(one), counted(other)
    left, right = (
        csr_array(
            (np.ones(len(rows), np.float64), (rows, columns)),
            shape=(len(networks), max(1, len(numbers))),
        )
        for networks, (rows, columns) in zip((one, other), places, strict=True)
    )
    shared = (left @ right.T).toarray()
    sizes = [np.array([len(n.shingles) for n in networks]) for networks in (one, other)]
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    similarities: Floats = shared / np.maximum(union, 1)
    return similarities


def _layers(code: str) -> list[str]:
    """Kinds of the layers that the code makes, one for each place where it does."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    imported = _imported(tree)
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = (_layer(function, imported) for function in calls)
    return [name for name in names if name]


def _layer(function: ast.expr, imported: frozenset[str]) -> str:
    """`Conv2d` for `nn.Conv2d`, `torch.nn.LazyConv2d` or an imported one; "" if it is no layer."""
    if isinstance(function, ast.Name):
        name = function.id if function.id in imported else ""
    elif isinstance(function, ast.Attribute):
        name = function.attr if ast.unparse(function.value) in ("nn", "torch.nn") else ""
    else:
        name = ""
    if not name[:1].isupper() or name in _CONTAINERS or name.endswith("Loss"):
        return ""
    return name.removeprefix("Lazy")


def _imported(tree: ast.Module) -> frozenset[str]:
    """Names that come `from torch.nn import …`."""
    froms = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return frozenset(
        alias.name
        for node in froms
        if node.module == "torch.nn"
        for alias in node.names
        if alias.asname is None
    )
