"""Extract helper classes and `Net.__init__` and `forward` from a network, for `body` mode.

The template adds imports of torch, `supported_hyperparameters`, `train_setup` and `learn`. A
network can be written in this mode only if it sets what the template reads (`self.device`) and
reads no hyperparameter but those that the template offers (`lr`, `momentum`, `dropout`).
"""

from __future__ import annotations

import ast

from nngpt.generation.contract.interface import SUPPORTED, find_class
from nngpt.records import Refusal, Stage

_TEMPLATE_METHODS = frozenset({"train_setup", "learn"})
_TEMPLATE_IMPORTS = frozenset(
    {"import torch", "import torch.nn as nn", "from torch import nn"}
    | {"import torch.nn.functional as F", "from torch.nn import functional as F"}
)
INVALID = Refusal(Stage.PARSE, "the code is not valid Python")
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def extract_body(code: str, offered: frozenset[str]) -> str | Refusal:
    """Return a network's code without the parts that `body` mode's template adds, or a refusal.

    Args:
        offered: hyperparameters that the template supports.
    """
    tree = parse_network(code)
    if tree is None:
        return INVALID
    net = find_class(tree, "Net")
    if net is None:
        return Refusal(Stage.CONTRACT, "there is no class Net")
    removed = [node for node in tree.body if _is_added_by_template(node)]
    methods = (node for node in net.body if isinstance(node, ast.FunctionDef))
    removed += [node for node in methods if node.name in _TEMPLATE_METHODS]
    kept = [node for node in ast.walk(tree) if not any(_inside(node, out) for out in removed)]
    fault = _find_fault(kept, offered)
    if fault:
        return Refusal(Stage.CONTRACT, fault)
    lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for node in removed:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
    return _collapse_blank_lines(lines)


def strip_comments(code: str) -> str | Refusal:
    """Return a body's code without comments, docstrings, annotations and blank lines."""
    tree = parse_network(code)
    if tree is None:
        return INVALID
    for node in ast.walk(tree):
        if isinstance(node, _Documented):
            _remove_docstring(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(tree)


def parse_network(code: str) -> ast.Module | None:
    """Parse code whose body goes into a corpus; None if it is not valid Python."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _remove_docstring(node: _Documented) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        rest = node.body[1:]
        node.body = rest if rest or isinstance(node, ast.Module) else [ast.Pass()]


def _is_added_by_template(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == SUPPORTED
    imports = isinstance(node, ast.Import | ast.ImportFrom)
    return imports and ast.unparse(node) in _TEMPLATE_IMPORTS


def _inside(node: ast.AST, outer: ast.stmt) -> bool:
    line = getattr(node, "lineno", None)
    return line is not None and outer.lineno <= line <= (outer.end_lineno or outer.lineno)


def _find_fault(nodes: list[ast.AST], offered: frozenset[str]) -> str:
    """Return why the template does not fit around these nodes of the network, "" if it does."""
    stored = {n.attr for n in nodes if isinstance(n, ast.Attribute) and _on_self(n, ast.Store)}
    if "device" not in stored:
        return "body mode: the network does not keep self.device"
    for node in nodes:
        if isinstance(node, ast.Attribute) and _on_self(node, ast.Load):
            if node.attr in _TEMPLATE_METHODS:
                return "body mode: the network calls train_setup or learn itself"
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "prm":
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if key not in offered:
                return "body mode: the network uses hyperparameters that the template lacks"
    return ""


def _on_self(node: ast.Attribute, context: type[ast.expr_context]) -> bool:
    """Return True if the node is an attribute of `self` in this context (load or store)."""
    owner = node.value
    return isinstance(owner, ast.Name) and owner.id == "self" and isinstance(node.ctx, context)


def _collapse_blank_lines(lines: list[str]) -> str:
    """Join lines with at most two blank lines in a row and none at either end."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or kept[-2:] != ["", ""]:
            kept.append(line if line.strip() else "")
    return "\n".join(kept).strip("\n")
