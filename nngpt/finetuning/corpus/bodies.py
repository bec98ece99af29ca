"""Takes helpers and `Net.__init__` and `forward` out of a network, for the answers of `body` mode.

The template adds imports of torch, `supported_hyperparameters`, `train_setup` and `learn`; what it
needs (`self.device`) and what it offers (`lr`, `momentum`, `dropout`) decide whether a network can
be written that way.
"""

from __future__ import annotations

import ast

from nngpt.generation.contract.interface import SUPPORTED, find_class
from nngpt.records import Refusal, Stage

_ADDED = frozenset({"train_setup", "learn"})
_IMPORTED = frozenset(
    {"import torch", "import torch.nn as nn", "from torch import nn"}
    | {"import torch.nn.functional as F", "from torch.nn import functional as F"}
)


def extract_body(code: str, offered: frozenset[str]) -> str | Refusal:
    """The network without what the template adds; `offered` are the hyperparameters it supports."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Refusal(Stage.PARSE, "the code is not valid Python")
    net = find_class(tree, "Net")
    if net is None:
        return Refusal(Stage.CONTRACT, "there is no class Net")
    left_out = [node for node in tree.body if _is_left_out(node)]
    left_out += [n for n in net.body if isinstance(n, ast.FunctionDef) and n.name in _ADDED]
    kept = [node for node in ast.walk(tree) if not any(_inside(node, out) for out in left_out)]
    fault = _fault(kept, offered)
    if fault:
        return Refusal(Stage.CONTRACT, fault)
    lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for node in left_out:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
    return _tidy(lines)


def _is_left_out(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == SUPPORTED
    return isinstance(node, ast.Import | ast.ImportFrom) and ast.unparse(node) in _IMPORTED


def _inside(node: ast.AST, outer: ast.stmt) -> bool:
    line = getattr(node, "lineno", None)
    return line is not None and outer.lineno <= line <= (outer.end_lineno or outer.lineno)


def _fault(nodes: list[ast.AST], offered: frozenset[str]) -> str:
    """Why the template does not fit around these parts of the network, "" if it does."""
    stored = {n.attr for n in nodes if isinstance(n, ast.Attribute) and _on_self(n, ast.Store)}
    if "device" not in stored:
        return "body mode: the network does not keep self.device"
    for node in nodes:
        if isinstance(node, ast.Attribute) and _on_self(node, ast.Load) and node.attr in _ADDED:
            return "body mode: the network calls train_setup or learn itself"
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "prm":
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if key not in offered:
                return "body mode: the network uses hyperparameters that the template lacks"
    return ""


def _on_self(node: ast.Attribute, context: type[ast.expr_context]) -> bool:
    of = node.value
    return isinstance(of, ast.Name) and of.id == "self" and isinstance(node.ctx, context)


def _tidy(lines: list[str]) -> str:
    """At most two blank lines in a row, none at the ends."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or kept[-2:] != ["", ""]:
            kept.append(line if line.strip() else "")
    return "\n".join(kept).strip("\n")
