"""Read and write the layer list of `features` mode: one `nn.Sequential(...)` with constants.

A layer list may hold only calls of `nn.Name(...)` and of shown blocks, and constants, so it needs
no other safety check. The canonical form has one layer per line and no comments.
"""

from __future__ import annotations

import ast
import math
import re

from nngpt.records import Refusal, Stage

_HEAD = "nn.Sequential("
_WEIGHTED = re.compile(r"(Lazy)?(Conv|ConvTranspose)[123]d|(Lazy)?Linear|Bilinear")
_LARGEST = 2**63


def read_layers(source: str, blocks: frozenset[str] = frozenset()) -> tuple[str, ...] | Refusal:
    """Read the layer list of `nn.Sequential(...)`: each layer's canonical text, or a refusal.

    Args:
        source: Python source of the layer list.
        blocks: names of classes that may be called like layers.

    Raises: RecursionError, MemoryError if the source is nested too deeply.
    """
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return Refusal(Stage.PARSE, "the layer list is not valid Python", _where(str(error), line))
    if not (isinstance(tree, ast.Call) and _layer_name(tree.func) == "Sequential"):
        return Refusal(Stage.PARSE, "the answer is not one nn.Sequential(...)")
    if tree.keywords:
        return Refusal(Stage.PARSE, "nn.Sequential(...) takes layers only, without keywords")
    for layer in tree.args:
        wrong = _layer_fault(layer, blocks)
        if wrong:
            excerpt = (ast.get_source_segment(source, layer) or "")[:80]
            return Refusal(Stage.CONTRACT, wrong, _where(excerpt, layer.lineno))
    if not any(_has_weights(layer, blocks) for layer in tree.args):
        return Refusal(Stage.CONTRACT, "no layer of the list has weights to train")
    return tuple(ast.unparse(_Short().visit(layer)) for layer in tree.args)


def write_layers(layers: tuple[str, ...]) -> str:
    """Write a layer list as the canonical `nn.Sequential(...)`, one layer per line."""
    return _HEAD + "\n" + "".join(f"    {layer},\n" for layer in layers) + ")"


def _layer_fault(node: ast.expr, blocks: frozenset[str]) -> str:
    """Return why an expression is not a layer with constant arguments, "" if it is."""
    if not isinstance(node, ast.Call) or not (
        _layer_name(node.func) or _is_block(node.func, blocks)
    ):
        return "an entry of the layer list is not a layer nn.Name(...)"
    for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
        wrong = _value_fault(value, blocks)
        if wrong:
            return wrong
    if any(keyword.arg is None for keyword in node.keywords):
        return "a layer's arguments must be written out, not unpacked with **"
    return ""


def _value_fault(node: ast.expr, blocks: frozenset[str]) -> str:
    """Return why an argument of a layer is not allowed, "" if it is."""
    if isinstance(node, ast.Call):
        return _layer_fault(node, blocks)
    if isinstance(node, ast.Tuple | ast.List):
        return next(filter(None, (_value_fault(part, blocks) for part in node.elts)), "")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    if isinstance(node, ast.Constant) and _is_plain(node.value):
        return ""
    return "a layer's arguments must be constants or layers"


def _is_plain(value: object) -> bool:
    """Return True for None, strings, finite floats and integers that fit in 64 bits."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < _LARGEST
    return value is None or isinstance(value, str)


def _has_weights(node: ast.expr, blocks: frozenset[str]) -> bool:
    """Return True if a layer has weights, judged by its name; blocks count as having some."""
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    known = any(_WEIGHTED.fullmatch(_layer_name(call.func)) for call in calls)
    return known or any(_is_block(call.func, blocks) for call in calls)


def _layer_name(function: ast.expr) -> str:
    """Return `Conv2d` for `nn.Conv2d` and `torch.nn.Conv2d`, "" for anything else."""
    if not isinstance(function, ast.Attribute) or not function.attr[0].isupper():
        return ""
    return function.attr if ast.unparse(function.value) in ("nn", "torch.nn") else ""


def _is_block(function: ast.expr, blocks: frozenset[str]) -> bool:
    return isinstance(function, ast.Name) and function.id in blocks


class _Short(ast.NodeTransformer):
    """Replaces `torch.nn` by `nn`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Replace the module of a layer's class."""
        if _layer_name(node):
            return ast.Attribute(ast.Name("nn", ast.Load()), node.attr, ast.Load())
        return node


def _where(text: str, line: int | None) -> str:
    """Prefix a text with its line number, if known."""
    return f"line {line}: {text}" if line else text
