"""A network's code as a chain of layers, to be drawn; nothing is run."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from nngpt.generation import contract
from nngpt.records import Candidate

KINDS = ("conv", "norm", "activation", "pool", "dropout", "linear", "other")
"""What a layer can be; the order is that of a legend."""

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
class Layer:
    """One layer: its kind for the colour, its class without `Lazy`, its arguments."""

    kind: str
    name: str
    arguments: str


def chain(candidate: Candidate) -> tuple[Layer, ...]:
    """The layers in the order in which the code has them.

    In `features` mode that is the list which the LLM wrote; else what the code makes with
    `nn.Name(…)` or a class from `torch.nn`, in a loop once. Branches appear one after another.
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
    found: dict[tuple[int, int], Layer] = {}
    for call in calls:
        name = _name(call.func, imported, only_layers)
        if name:
            found.setdefault((call.lineno, call.col_offset), _layer(name, call))
    return tuple(found.values())


def kind_of(name: str) -> str:
    """The kind of a class of `torch.nn`, "other" for what is not known."""
    return next((kind for kind, pattern in _PATTERNS if pattern.fullmatch(name)), "other")


def _layer(name: str, call: ast.Call) -> Layer:
    name = name.removeprefix("Lazy")
    values = [ast.unparse(value) for value in call.args]
    values += [f"{k.arg}={ast.unparse(k.value)}" if k.arg else "**…" for k in call.keywords]
    return Layer(kind_of(name), name, ", ".join(values))


def _makes_layers(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _name(function: ast.expr, imported: frozenset[str], blocks: bool) -> str:
    """`Conv2d` for `nn.Conv2d`; with `blocks` a bare name counts too; "" if it is no layer."""
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
    return frozenset(a.name for f in froms if f.module == "torch.nn" for a in f.names)
