"""The layers in a network's code, found in its source; nothing is run."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from nngpt.generation import contract
from nngpt.records import Candidate

KINDS = ("conv", "norm", "activation", "pool", "dropout", "linear", "other")
"""Kinds of layers, in the order of a legend."""

_NOT_LAYERS = {"Sequential", "Module", "ModuleList", "ModuleDict", "Parameter", "Buffer"}
_NOT_LAYERS |= {"ParameterList", "ParameterDict"}
_ACTIVATIONS = re.compile(
    r"(R?ReLU6?|[LP]?ReLU|LeakyReLU|[CGS]?ELU|SiLU|Mish|GLU|Tanh|Tanhshrink|Hard\w+|LogSigmoid"
    r"|Sigmoid|Softplus|Softshrink|Softsign|Threshold|(Log)?Soft(max|min)(2d)?)"
)
_PATTERNS = (
    ("conv", re.compile(r"(Conv|ConvTranspose)\d?d?")),
    ("norm", re.compile(r"\w*Norm(\dd)?|LocalResponseNorm")),
    ("pool", re.compile(r"\w*Pool\dd")),
    ("dropout", re.compile(r"\w*Dropout(\dd)?")),
    ("linear", re.compile(r"(Bil|L)inear|MultiheadAttention|Transformer\w*|RNN|LSTM|GRU")),
    ("activation", _ACTIVATIONS),
)


@dataclass(frozen=True)
class CodeLayer:
    """A layer in code: its `kind` (one of `KINDS`), class `name` without `Lazy`, and arguments."""

    kind: str
    name: str
    arguments: str


def chain(candidate: Candidate) -> tuple[CodeLayer, ...]:
    """Return the layers of a network's code in source order; () if it is unreadable.

    Where the answer is only a list of layers, those are returned. Otherwise a layer is a call of
    `nn.Name` or of a class imported from `torch.nn` in an `__init__`; in a loop it counts once.
    """
    text = contract.novelty_text(candidate)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    imported = _imported(tree)
    only_layers = all(isinstance(statement, ast.Expr) for statement in tree.body)
    roots = [n for n in ast.walk(tree) if _makes_layers(n)] or [tree]
    calls = [n for root in roots for n in ast.walk(root) if isinstance(n, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    found: dict[tuple[int, int], CodeLayer] = {}
    for call in calls:
        name = _name(call.func, imported, only_layers)
        if name:
            found.setdefault((call.lineno, call.col_offset), _layer(name, call))
    return tuple(found.values())


def kind_of(name: str) -> str:
    """Return the kind of a layer by its class in `torch.nn`, "other" if it is unknown."""
    return next((kind for kind, pattern in _PATTERNS if pattern.fullmatch(name)), "other")


def layer_names(tree: ast.Module) -> list[str]:
    """Return the class names, without `Lazy`, of all layers that a network's code makes."""
    imported = _imported(tree)
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [name.removeprefix("Lazy") for call in calls if (name := _name(call, imported, False))]


def _layer(name: str, call: ast.Call) -> CodeLayer:
    name = name.removeprefix("Lazy")
    values = [ast.unparse(value) for value in call.args]
    values += [f"{k.arg}={ast.unparse(k.value)}" if k.arg else "**…" for k in call.keywords]
    return CodeLayer(kind_of(name), name, ", ".join(values))


def _makes_layers(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _name(function: ast.expr, imported: frozenset[str], blocks: bool) -> str:
    """Return `Conv2d` for `nn.Conv2d`, "" if it is no layer; with `blocks` bare names count."""
    if isinstance(function, ast.Name):
        name = function.id if blocks or function.id in imported else ""
    elif isinstance(function, ast.Attribute):
        name = function.attr if ast.unparse(function.value) in ("nn", "torch.nn") else ""
    else:
        name = ""
    wanted = name[:1].isupper() and name not in _NOT_LAYERS and not name.endswith("Loss")
    return name if wanted else ""


def _imported(tree: ast.Module) -> frozenset[str]:
    froms = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    names = (alias for f in froms if f.module == "torch.nn" for alias in f.names)
    return frozenset(alias.name for alias in names if alias.asname is None)
