"""Check on the syntax tree that a network file has LEMUR's interface; nothing is executed.

Required: `supported_hyperparameters()` whose names can be read off its return value, and
`class Net` with `__init__(self, in_shape, out_shape, prm, device)`, `forward(self, x)`,
`train_setup(self, prm)` and `learn(self, train_data)`. Argument names, annotations and further
arguments with defaults are free, because LEMUR calls by position.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from nngpt.records import Refusal, Stage

METHODS = {
    "__init__": ("in_shape", "out_shape", "prm", "device"),
    "forward": ("x",),
    "train_setup": ("prm",),
    "learn": ("train_data",),
}
SUPPORTED = "supported_hyperparameters"
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_COLLECTIONS = frozenset({"set", "frozenset", "list", "tuple"})


def find_class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """Return the class of this name that LEMUR's interface asks a network file for."""
    return _classes(tree).get(name)


def check_network(tree: ast.Module, methods: tuple[str, ...] = tuple(METHODS)) -> Refusal | None:
    """Return None if class `Net` has these methods with LEMUR's arguments, else a refusal."""
    return next(_network_faults(tree, methods), None)


def interface_faults(tree: ast.Module) -> list[Refusal]:
    """Return every fault of a network file against LEMUR's interface, in the order of checking."""
    supported = read_supported(tree)
    found = [supported] if isinstance(supported, Refusal) else []
    return [*found, *_network_faults(tree, tuple(METHODS))]


def claims_interface(tree: ast.Module) -> bool:
    """Return True if a file is written for LEMUR's interface, with or without faults.

    It defines `supported_hyperparameters`, or a class `Net` that trains itself or takes `prm`.
    """
    net = find_class(tree, "Net")
    owners = lineage(tree, net)[0] if net else []
    bodies = [statement for owner in owners for statement in owner.body]
    functions = {n.name: n for n in reversed(bodies) if isinstance(n, _Function)}
    taken = [a.arg for a in functions["__init__"].args.args] if "__init__" in functions else []
    own = functions.keys() & {"train_setup", "learn"} or "prm" in taken
    return bool(own) or _find_function(SUPPORTED, tree.body) is not None


def _network_faults(tree: ast.Module, methods: Sequence[str]) -> Iterator[Refusal]:
    """Yield what class `Net` lacks of these methods with LEMUR's arguments."""
    net = find_class(tree, "Net")
    if net is None:
        yield _refusal("there is no class Net")
        return
    owners, outside = lineage(tree, net)
    if not net.bases:
        yield _refusal("class Net is not an nn.Module", net)
    for name in methods:
        found = [m for owner in owners if (m := _find_function(name, owner.body))]
        if found:
            refusal = _check_call(found[0], METHODS[name])
            if refusal:
                yield refusal
        elif name != "forward" or not outside:
            yield _refusal(f"class Net has no method {name}", net)


def read_supported(tree: ast.Module) -> frozenset[str] | Refusal:
    """Read the names that `supported_hyperparameters()` returns from its source."""
    function = _find_function(SUPPORTED, tree.body)
    if function is None:
        return _refusal(f"there is no function {SUPPORTED}()")
    if not _accepts(function, 0) or isinstance(function, ast.AsyncFunctionDef):
        return _refusal(f"{SUPPORTED}() must be callable without arguments", function)
    returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    names = _names(returns[0].value) if len(returns) == 1 else None
    if names is None:
        return _refusal(
            f"what {SUPPORTED}() returns cannot be read without running it; "
            "it must return one set of names, such as {'lr', 'momentum'}",
            function,
        )
    return names


def _names(value: ast.expr | None) -> frozenset[str] | None:
    """Return the names in a literal collection of strings, None for anything else."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        if value.func.id not in _COLLECTIONS or value.keywords or len(value.args) > 1:
            return None
        return _names(value.args[0]) if value.args else frozenset()
    if not isinstance(value, ast.Set | ast.List | ast.Tuple | ast.Dict):
        return None
    elements = value.keys if isinstance(value, ast.Dict) else value.elts
    names = [item.value for item in elements if isinstance(item, ast.Constant)]
    texts = [name for name in names if isinstance(name, str)]
    return frozenset(texts) if len(texts) == len(elements) else None


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the module-level classes by name."""
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def lineage(tree: ast.Module, owner: ast.ClassDef) -> tuple[list[ast.ClassDef], bool]:
    """Return a class of the interface, its bases in this file, and True if it has others.

    `nn.Module` does not count.
    """
    known, outside = _classes(tree), False
    found, todo = list[ast.ClassDef](), [owner]
    while todo:
        current = todo.pop(0)
        if current in found:
            continue
        found.append(current)
        for base in current.bases:
            if isinstance(base, ast.Name) and base.id in known:
                todo.append(known[base.id])
            elif not _is_module(base):
                outside = True
    return found, outside


def _is_module(base: ast.expr) -> bool:
    """Return True if a base class is called Module."""
    name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
    return bool(name == "Module")


def _find_function(name: str, body: Sequence[ast.stmt]) -> _Function | None:
    """Return the function of this name that is defined last in a body, None if there is none."""
    found = (n for n in reversed(body) if isinstance(n, _Function) and n.name == name)
    return next(found, None)


def _check_call(method: _Function, arguments: tuple[str, ...]) -> Refusal | None:
    """Return a refusal if a method cannot be called with these positional arguments."""
    if isinstance(method, ast.AsyncFunctionDef):
        return _refusal(f"Net.{method.name} must not be async", method)
    if _accepts(method, len(arguments) + 1):
        return None
    given, wanted = method.args, ", ".join(("self", *arguments))
    names = ", ".join(a.arg for a in [*given.posonlyargs, *given.args, *given.kwonlyargs])
    return _refusal(f"Net.{method.name}({names}) cannot be called as ({wanted})", method)


def _accepts(function: _Function, count: int) -> bool:
    """Return True if a function can be called with `count` positional arguments."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    enough = positional >= count or arguments.vararg is not None
    return enough and positional - len(arguments.defaults) <= count and all(arguments.kw_defaults)


def _refusal(reason: str, node: ast.stmt | None = None) -> Refusal:
    """Return a refusal of the contract stage at a node's line."""
    return Refusal(Stage.CONTRACT, reason, f"line {node.lineno}" if node else "")
