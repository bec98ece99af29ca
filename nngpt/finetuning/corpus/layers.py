"""Extract the layer list of a sequential network for `features` mode, and make its layers lazy.

`Net.__init__` is interpreted statement by statement without running it: numbers and layer lists in
names and `self` attributes are substituted where they are used. Branches and loops are not
interpreted; values that they change count as unknown afterwards.

Sizes come first and other arguments by name. The head (pooling to a fixed size, flattening, linear
layers) is left to the template. Lazy layers can be narrowed without any other change.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Sequence

from nngpt.finetuning.corpus.bodies import INVALID, parse_network
from nngpt.generation.contract.interface import find_class
from nngpt.generation.contract.layer_list import read_layers
from nngpt.records import Refusal, Stage, Task

_FOLDED: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_Value = ast.expr | list[ast.expr]
_PARAMETERS = {
    "Conv2d": "in_channels out_channels kernel_size stride padding dilation groups bias",
    "ConvTranspose2d": "in_channels out_channels kernel_size stride padding output_padding groups",
    "BatchNorm2d": "num_features eps momentum affine track_running_stats",
    "InstanceNorm2d": "num_features eps momentum affine track_running_stats",
    "MaxPool2d": "kernel_size stride padding dilation return_indices ceil_mode",
    "AvgPool2d": "kernel_size stride padding ceil_mode count_include_pad",
    **dict.fromkeys(
        ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid"), "inplace"
    ),
}
"""Names of the positional parameters of each layer class, in order."""

_LAZY = frozenset({"Conv2d", "ConvTranspose2d", "BatchNorm2d", "InstanceNorm2d"})
_DROPPED = frozenset({"in_channels", "num_features", "inplace"})
_POSITIONAL = ("out_channels", "kernel_size")
_HEAD = frozenset(
    {"AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "Flatten", "Linear", "LazyLinear"}
    | {"Softmax", "LogSoftmax"}
)
_POOLED = 16
"""Positions per channel that the template's head sees: it pools to 4 × 4."""

_MIN_WIDTH = 8


def extract_layers(code: str, dropout: float) -> tuple[str, ...] | Refusal:
    """Return the canonical layers of the one list with convolutions in class `Net`, or a refusal.

    Args:
        dropout: value for `prm['dropout']`, since a layer list holds constants only.
    """
    tree = parse_network(code)
    if tree is None:
        return INVALID
    net = find_class(tree, "Net")
    init = net and next(
        (n for n in net.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )
    if init is None:
        return Refusal(Stage.CONTRACT, "class Net has no method __init__")
    lists = _Interpreter(dropout).layer_lists(init.body)
    chosen = lists.get("self.features") or (next(iter(lists.values())) if len(lists) == 1 else None)
    if chosen is None:
        reason = "several lists of layers" if lists else "no list of layers that can be read"
        return Refusal(Stage.CONTRACT, f"class Net has {reason}")
    layers = ", ".join(ast.unparse(make_lazy(layer)) for layer in without_head(chosen))
    return read_layers(f"nn.Sequential({layers})")


class _Interpreter:
    """Tracks the known values of names and attributes after each statement of `__init__`."""

    def __init__(self, dropout: float) -> None:
        self._dropout = ast.Constant(dropout)
        self._known: dict[str, _Value] = {}

    def layer_lists(self, body: Sequence[ast.stmt]) -> dict[str, list[ast.expr]]:
        """Return the layer lists with a convolution that are assigned to attributes of `self`."""
        for statement in body:
            self._interpret(statement)
        return {
            name: value
            for name, value in self._known.items()
            if name.startswith("self.") and isinstance(value, list) and any(map(_convolves, value))
        }

    def _interpret(self, statement: ast.stmt) -> None:
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
        """Record the value of an assignment's target."""
        name = _name(target)
        if name:
            self._known[name] = list(value) if isinstance(value, list) else value
        else:
            self._forget(target)

    def _add(self, statement: ast.AugAssign) -> None:
        """Interpret `+=` and its relatives on lists and numbers."""
        name = _name(statement.target)
        old, new = self._known.get(name), self._value(statement.value)
        if isinstance(old, list) and isinstance(new, list) and isinstance(statement.op, ast.Add):
            old.extend(new)
        elif isinstance(old, ast.expr) and isinstance(new, ast.expr):
            self._known[name] = _fold(ast.BinOp(old, statement.op, new))
        else:
            self._known.pop(name, None)

    def _call(self, call: ast.Call) -> None:
        """Interpret `append`, `extend` and `add_module` on a known list."""
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
        """Forget all values that a statement may change, because it is not interpreted."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name | ast.Attribute):
                name = _name(part)
                if isinstance(getattr(part, "ctx", None), ast.Store) or isinstance(
                    self._known.get(name), list
                ):
                    self._known.pop(name, None)

    def _value(self, node: ast.expr) -> _Value:
        """Return an expression with known values substituted, or a list of layers."""
        if isinstance(node, ast.List | ast.Tuple):
            return self._entries(node.elts)
        called = layer_name(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called == "Sequential" and not node.keywords:
            return self._entries(node.args)
        name = _name(node)
        if name and isinstance(known := self._known.get(name), list):
            return known
        substituted = _Substitute(self._known, self._dropout).visit(node)
        assert isinstance(substituted, ast.expr)
        return substituted

    def _entries(self, nodes: Iterable[ast.expr]) -> list[ast.expr]:
        """Return the layers of a list display or call, with nested lists flattened."""
        found: list[ast.expr] = []
        for node in nodes:
            inner = node.value if isinstance(node, ast.Starred) else node
            value = self._value(inner)
            if isinstance(value, list):
                found.extend(value)
            else:
                found.append(node if isinstance(node, ast.Starred) else value)
        return found


class _Substitute(ast.NodeTransformer):
    """Replaces names by their known constants, and evaluates arithmetic on constants."""

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
    """Return the result of an operation on two numeric constants, else the node itself."""
    work = _FOLDED.get(type(node.op))
    if work and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
        left, right = node.left.value, node.right.value
        if isinstance(left, int | float) and isinstance(right, int | float) and right:
            return ast.Constant(work(left, right))
    return node


def _convolves(layer: ast.expr) -> bool:
    return isinstance(layer, ast.Call) and layer_name(layer.func).endswith("Conv2d")


def _name(node: ast.AST) -> str:
    """Return "x" or "self.x" for a name or an attribute of `self`, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"self.{node.attr}" if node.value.id == "self" else ""
    return ""


def without_head(layers: Sequence[ast.expr]) -> list[ast.expr]:
    """Return lazy layer expressions before the head, without `nn.Identity`."""
    found: list[ast.expr] = []
    for layer in layers:
        kind = layer_name(layer.func) if isinstance(layer, ast.Call) else ""
        if kind in _HEAD:
            break
        if kind != "Identity":
            found.append(layer)
    return found


def make_lazy(layer: ast.expr) -> ast.expr:
    """Return a layer as lazy, without input channels: sizes positional, other arguments by name."""
    if not isinstance(layer, ast.Call):
        return layer
    kind = layer_name(layer.func)
    given = None if kind.startswith("Lazy") else named_arguments(layer)
    if given is None:
        kept = [keyword for keyword in layer.keywords if keyword.arg not in _DROPPED]
        return ast.Call(layer.func, layer.args, kept)
    for name in _DROPPED:
        given.pop(name, None)
    positional = [given.pop(name) for name in _POSITIONAL if name in given]
    keywords = [ast.keyword(name, value) for name, value in given.items()]
    name = f"Lazy{kind}" if kind in _LAZY else kind
    return ast.Call(ast.Attribute(ast.Name("nn"), name), positional, keywords)


def named_arguments(layer: ast.Call) -> dict[str, ast.expr] | None:
    """Return a lazy layer's arguments by parameter name; None for an unknown layer."""
    kind = layer_name(layer.func)
    names = _PARAMETERS.get(kind.removeprefix("Lazy"), "").split()
    if kind.startswith("Lazy"):
        names = [name for name in names if name not in _DROPPED]
    if len(layer.args) > len(names) or not names or any(k.arg is None for k in layer.keywords):
        return None
    given = dict(zip(names, layer.args, strict=False))
    return given | {keyword.arg: keyword.value for keyword in layer.keywords if keyword.arg}


def layer_name(function: ast.expr) -> str:
    """Return a lazy layer's class: `LazyConv2d` of `torch.nn.LazyConv2d`; "" for others."""
    if not isinstance(function, ast.Attribute):
        return ""
    module = function.value
    if isinstance(module, ast.Attribute) and module.attr == "nn":
        return function.attr if getattr(module.value, "id", "") == "torch" else ""
    return function.attr if getattr(module, "id", "") == "nn" else ""


def narrow_to_budget(layers: tuple[str, ...], tasks: Sequence[Task]) -> tuple[str, ...]:
    """Halve the widths of lazy convolutions until they fit the smallest parameter budget.

    Convolutions with groups and other layers with explicit widths are left unchanged.
    """
    budgets = [task.max_parameters for task in tasks if task.max_parameters]
    if not budgets:
        return layers
    trees = [ast.parse(layer, mode="eval").body for layer in layers]
    channels = max(task.in_shape[1] for task in tasks)
    classes = max(task.out_shape[0] for task in tasks)
    while count_parameters(trees, channels, classes) > min(budgets):
        halved = [_halve_width(tree) for tree in trees]
        if not any(halved):
            break
    return tuple(map(ast.unparse, trees))


def count_parameters(layers: Sequence[ast.expr], channels: int, classes: int) -> int:
    """Return the parameters of a list of lazy layers with its head, read from the expressions.

    Args:
        channels: input channels of the first layer.
        classes: outputs of the head.
    """
    total = 0
    for layer in layers:
        width = _width(layer)
        if width and isinstance(layer, ast.Call):
            total += channels * width * _kernel_area(layer) + width
            channels = width
    return total + channels * _POOLED * classes


def _halve_width(layer: ast.expr) -> bool:
    """Halve the width of a convolution in place; return False if that is not possible."""
    width = _width(layer) // 2
    if width < _MIN_WIDTH or not isinstance(layer, ast.Call):
        return False
    layer.args[0] = ast.Constant(width)
    return True


def _width(layer: ast.expr) -> int:
    """Return the output channels of a lazy convolution without groups, 0 for any other layer."""
    if not isinstance(layer, ast.Call) or layer_name(layer.func) != "LazyConv2d":
        return 0
    if not layer.args or any(keyword.arg == "groups" for keyword in layer.keywords):
        return 0
    first = layer.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, int) else 0


def _kernel_area(layer: ast.Call) -> int:
    """Return the kernel positions of a convolution; 9 if the size cannot be read."""
    size = layer.args[1] if len(layer.args) > 1 else None
    if isinstance(size, ast.Constant) and isinstance(size.value, int):
        return size.value**2
    if isinstance(size, ast.Tuple) and all(isinstance(e, ast.Constant) for e in size.elts):
        sides = [e.value for e in size.elts if isinstance(e, ast.Constant)]
        return int(sides[0]) * int(sides[-1])  # type: ignore[arg-type]
    return 9
