"""Takes the layer list out of a sequential network, for the answers of `features` mode.

`Net.__init__` is followed line by line without running it: names and `self` attributes that hold
numbers or lists of layers are put in where they are used. Branches and loops are not followed;
what they change is unknown from there on.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TypeGuard

from nngpt.finetuning.corpus.lazy import layer_name, lazy, trunk
from nngpt.generation.contract.interface import find_class
from nngpt.generation.contract.layers import read_layers
from nngpt.records import Refusal, Stage

_FOLDED: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_Value = ast.expr | list[ast.expr]


def extract_layers(code: str, dropout: float) -> tuple[str, ...] | Refusal:
    """The canonical layers of the one list with convolutions in class `Net`.

    `dropout` stands for `prm['dropout']`, since a layer list holds constants only.
    """
    try:
        net = find_class(ast.parse(code), "Net")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Refusal(Stage.PARSE, "the code is not valid Python")
    init = net and next(
        (n for n in net.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )
    if init is None:
        return Refusal(Stage.CONTRACT, "class Net has no method __init__")
    lists = _Reading(dropout).lists(init.body)
    chosen = lists.get("self.features") or (next(iter(lists.values())) if len(lists) == 1 else None)
    if chosen is None:
        reason = "several lists of layers" if lists else "no list of layers that can be read"
        return Refusal(Stage.CONTRACT, f"class Net has {reason}")
    layers = ", ".join(ast.unparse(lazy(layer)) for layer in trunk(chosen))
    return read_layers(f"nn.Sequential({layers})")


class _Reading:
    """What is known after each statement of `__init__`."""

    def __init__(self, dropout: float) -> None:
        self._dropout = ast.Constant(dropout)
        self._known: dict[str, _Value] = {}

    def lists(self, body: Sequence[ast.stmt]) -> dict[str, list[ast.expr]]:
        """Lists of layers with a convolution that became attributes, by attribute."""
        for statement in body:
            self._follow(statement)
        return {
            name: value
            for name, value in self._known.items()
            if name.startswith("self.") and isinstance(value, list) and any(map(_convolves, value))
        }

    def _follow(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                self._set(target, self._value(statement.value))
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            self._set(statement.target, self._value(statement.value))
        elif isinstance(statement, ast.AugAssign):
            self._add(statement)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            self._call(statement.value)
        else:
            self._forget(statement)

    def _set(self, target: ast.expr, value: _Value) -> None:
        name = _name(target)
        if name:
            self._known[name] = list(value) if isinstance(value, list) else value
        else:
            self._forget(target)

    def _add(self, statement: ast.AugAssign) -> None:
        name = _name(statement.target)
        old, new = self._known.get(name), self._value(statement.value)
        if isinstance(old, list) and isinstance(new, list) and isinstance(statement.op, ast.Add):
            old.extend(new)
        elif isinstance(old, ast.expr) and isinstance(new, ast.expr):
            self._known[name] = _fold(ast.BinOp(old, statement.op, new))
        else:
            self._known.pop(name, None)

    def _call(self, call: ast.Call) -> None:
        """`layers.append(…)`, `layers.extend([…])`, `self.features.add_module(name, …)`."""
        if not isinstance(call.func, ast.Attribute):
            return
        name = _name(call.func.value)
        target = self._known.get(name)
        if not isinstance(target, list) or not call.args:
            return
        value = self._value(call.args[-1])
        if call.func.attr in ("append", "add_module") and isinstance(value, ast.expr):
            target.append(value)
        elif call.func.attr == "extend" and isinstance(value, list):
            target.extend(value)
        else:
            self._known.pop(name, None)

    def _forget(self, node: ast.AST) -> None:
        """What a statement that is not followed may change is unknown from here on."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name | ast.Attribute):
                name = _name(part)
                if isinstance(getattr(part, "ctx", None), ast.Store) or isinstance(
                    self._known.get(name), list
                ):
                    self._known.pop(name, None)

    def _value(self, node: ast.expr) -> _Value:
        if isinstance(node, ast.List | ast.Tuple):
            return self._entries(node.elts)
        if _is_layers(node) and not node.keywords:
            return self._entries(node.args)
        name = _name(node)
        if name and isinstance(known := self._known.get(name), list):
            return known
        return self._filled(node)

    def _entries(self, nodes: Iterable[ast.expr]) -> list[ast.expr]:
        """Layers in a row; lists in lists are laid flat."""
        found: list[ast.expr] = []
        for node in nodes:
            inner = node.value if isinstance(node, ast.Starred) else node
            value = self._value(inner)
            if isinstance(value, list):
                found.extend(value)
            else:
                found.append(node if isinstance(node, ast.Starred) else value)
        return found

    def _filled(self, node: ast.expr) -> ast.expr:
        filled = _Fill(self._known, self._dropout).visit(node)
        assert isinstance(filled, ast.expr)
        return filled


class _Fill(ast.NodeTransformer):
    """Puts known constants in the place of names, and works out sums and products of them."""

    def __init__(self, known: dict[str, _Value], dropout: ast.Constant) -> None:
        self._known, self._dropout = known, dropout

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._constant(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._constant(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        of, key = node.value, node.slice
        if isinstance(of, ast.Name) and of.id == "prm" and isinstance(key, ast.Constant):
            return self._dropout if key.value == "dropout" else node
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return _fold(node)

    def _constant(self, node: ast.expr) -> ast.expr:
        value = self._known.get(_name(node))
        return value if isinstance(value, ast.Constant) else node


def _fold(node: ast.BinOp) -> ast.expr:
    work = _FOLDED.get(type(node.op))
    if work and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
        left, right = node.left.value, node.right.value
        if isinstance(left, int | float) and isinstance(right, int | float) and right:
            return ast.Constant(work(left, right))
    return node


def _convolves(layer: ast.expr) -> bool:
    return isinstance(layer, ast.Call) and layer_name(layer.func).endswith("Conv2d")


def _is_layers(node: ast.expr) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and layer_name(node.func) == "Sequential"


def _name(node: ast.AST) -> str:
    """`x` or `self.x`, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"self.{node.attr}" if node.value.id == "self" else ""
    return ""
