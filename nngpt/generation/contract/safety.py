"""Refuse code that uses files, processes, native code or the interpreter's internals.

This check is not containment: it gives most mishaps a readable reason before anything runs. The
sandbox contains what a determined author could still do.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nngpt.records import Refusal, Stage

_PACKAGES = """
    __future__ abc apex bisect cmath collections contextlib copy dataclasses einops enum flash_attn
    functools gc heapq itertools logging math numbers numpy operator os parrots random re
    statistics string time torch torchvision traceback types typing typing_extensions warnings
    xformers
"""
PACKAGES = frozenset(_PACKAGES.split())
"""Packages that may be imported; of the packages in `PARTS` only the parts named there."""

PARTS = {
    "gc": frozenset({"collect"}),
    "os": frozenset({"environ"}),
    "logging": frozenset({"getLogger", "Logger"}),
    "traceback": frozenset({"print_exc", "format_exc"}),
}

FORBIDDEN = {
    "numpy.ctypeslib": "reaches native memory",
    "numpy.f2py": "compiles code",
    "numpy.fromfile": "reads files",
    "numpy.genfromtxt": "reads files",
    "numpy.load": "reads files",
    "numpy.loadtxt": "reads files",
    "numpy.memmap": "reads files",
    "numpy.save": "writes files",
    "numpy.savetxt": "writes files",
    "numpy.savez": "writes files",
    "torch.classes": "loads native libraries",
    "torch.distributed": "talks to other processes",
    "torch.from_file": "reads files",
    "torch.hub": "downloads code",
    "torch.jit.load": "reads files",
    "torch.jit.save": "writes files",
    "torch.load": "reads files",
    "torch.multiprocessing": "starts processes",
    "torch.ops.load_library": "loads native libraries",
    "torch.package": "reads and writes files",
    "torch.save": "writes files",
    "torch.serialization": "reads and writes files",
    "torch.utils.cpp_extension": "compiles native code",
    "torch.utils.model_zoo": "downloads weights",
    "torchvision.datasets": "reads data sets",
    "torchvision.io": "reads files",
    "types.CodeType": "builds code",
}
"""Dotted names that may not be imported or used, each with the reason."""

_MODULES_IN_MODULES = frozenset({"builtins", "ctypes", "importlib", "os", "subprocess", "sys"})

_FORBIDDEN_BUILTINS = """
    __builtins__ __import__ breakpoint compile eval exec exit globals help input locals open quit
    vars
"""
_BUILTINS = frozenset(_FORBIDDEN_BUILTINS.split())

_ALLOWED_DUNDERS = """
    __annotations__ __bool__ __call__ __class__ __constants__ __contains__ __delattr__ __dict__
    __doc__ __enter__ __exit__ __getitem__ __init__ __instancecheck__ __iter__ __len__ __main__
    __module__ __name__ __new__ __next__ __post_init__ __repr__ __self__ __setattr__ __setitem__
    __setstate__ __str__ __torch_function__ __version__
"""
_DUNDERS = frozenset(_ALLOWED_DUNDERS.split())
_DUNDER = re.compile(r"__\w+__")
_WEIGHTS = re.compile(r"torchvision\.models\.(\w+\.)*\w+_Weights\b")

_Nodes = Mapping[type[ast.AST], Sequence[Any]]
"""Class → nodes of a syntax tree that are of exactly this class."""
_Fault = tuple[int, str]
_Import = tuple[int, str, str]
"""(line number, bound name or "", dotted path)."""


def check_safety(tree: ast.Module, given: Mapping[str, str] | None = None) -> Refusal | None:
    """Return None if code is safe, else a refusal with the first fault and others as detail.

    Args:
        tree: syntax tree of the code.
        given: dotted names of the names that the code may use without importing them.
    """
    walked, nodes = _walk(tree), defaultdict[type[ast.AST], list[Any]](list)
    for node in walked:
        nodes[type(node)].append(node)
    imports = list(_imports(walked))
    names = {**(given or {}), **{bound: path for _, bound, path in imports if bound}}
    own = _bound_names(nodes)
    faults = {
        *_import_faults(imports),
        *_reference_faults(nodes, names),
        *_part_faults(nodes, names),
        *_name_faults(nodes, own),
        *_dunder_faults(nodes),
        *_pretrained_faults(nodes, names),
        *_effect_faults(tree.body, own),
    }
    if not faults:
        return None
    first, *rest = sorted(faults)
    others = "; ".join(f"line {line}: {text}" for line, text in rest[:5])
    return Refusal(Stage.SAFETY, first[1], "; ".join(filter(None, (f"line {first[0]}", others))))


def _walk(tree: ast.AST) -> list[ast.AST]:
    """Return a tree's nodes in the order of `ast.walk`, in a third of its time."""
    nodes = [tree]
    for node in nodes:
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                nodes.append(value)
            elif isinstance(value, list):
                nodes += [item for item in value if isinstance(item, ast.AST)]
    return nodes


def _imports(nodes: Iterable[ast.AST]) -> Iterator[_Import]:
    """Yield every import in the file."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for item in node.names:
                bound = item.asname or item.name.partition(".")[0]
                yield node.lineno, bound, item.name if item.asname else bound
                yield node.lineno, "", item.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for item in node.names:
                yield node.lineno, item.asname or item.name, f"{module}.{item.name}"


def _import_faults(imports: Sequence[_Import]) -> Iterator[_Fault]:
    """Yield imports of packages or parts that are not allowed."""
    for line, _, path in imports:
        package = path.partition(".")[0]
        if package not in PACKAGES:
            name = f"the package {package!r}" if package else "a file beside it"
            yield line, f"imports {name}, which networks may not use"
        else:
            yield from _path_faults(line, path)


def _reference_faults(nodes: _Nodes, names: dict[str, str]) -> Iterator[_Fault]:
    """Yield uses of dotted names that are not allowed."""
    for node in nodes[ast.Attribute]:
        path = _path(node, names)
        if path:
            yield from _path_faults(node.lineno, path)


def _path_faults(line: int, path: str) -> Iterator[_Fault]:
    """Yield the reasons why a dotted name is not allowed."""
    return ((line, text) for text in _faults_of(path))


@functools.lru_cache(4096)
def _faults_of(path: str) -> tuple[str, ...]:
    """Return the reasons why a dotted name is not allowed."""
    found = []
    package, _, rest = path.partition(".")
    part = rest.partition(".")[0]
    if part and package in PARTS and part not in PARTS[package]:
        allowed = ", ".join(f"{package}.{name}" for name in sorted(PARTS[package]))
        found.append(f"uses {package}.{part}; of {package} only {allowed} may be used")
    if _MODULES_IN_MODULES.intersection(rest.split(".")):
        found.append(f"reaches another module through {path}")
    for forbidden, why in FORBIDDEN.items():
        if path == forbidden or path.startswith(f"{forbidden}."):
            found.append(f"uses {forbidden}, which {why}")
    if _WEIGHTS.match(path):
        found.append("uses pretrained weights")
    return tuple(found)


def _part_faults(nodes: _Nodes, names: dict[str, str]) -> Iterator[_Fault]:
    """Yield uses of a partly allowed module as a value, which would give access to all of it."""
    parents = {id(node.value) for node in nodes[ast.Attribute]}
    for node in nodes[ast.Name]:
        path = names.get(node.id, "")
        if path in PARTS and isinstance(node.ctx, ast.Load) and id(node) not in parents:
            yield node.lineno, f"passes the module {path} on"


def _name_faults(nodes: _Nodes, own: set[str]) -> Iterator[_Fault]:
    """Yield uses of forbidden built-in functions."""
    called = _BUILTINS - own
    for node in nodes[ast.Name]:
        if node.id in called:
            yield node.lineno, f"uses {node.id}()"


def _bound_names(nodes: _Nodes) -> set[str]:
    """Return the names that the file itself defines; `input` is a usual argument of `forward`."""
    arguments = {node.arg for node in nodes[ast.arg]}
    variables = {node.id for node in nodes[ast.Name] if isinstance(node.ctx, ast.Store)}
    defined = {node.name for node in (*nodes[ast.FunctionDef], *nodes[ast.ClassDef])}
    return arguments | variables | defined


def _dunder_faults(nodes: _Nodes) -> Iterator[_Fault]:
    """Yield double-underscore names that are not allowed, as attributes or strings."""
    attributes = ((node.lineno, node.attr) for node in nodes[ast.Attribute])
    constants = ((node.lineno, node.value) for node in nodes[ast.Constant])
    for line, text in (*attributes, *constants):
        if isinstance(text, str) and _DUNDER.fullmatch(text) and text not in _DUNDERS:
            yield line, f"reaches for {text}"


def _pretrained_faults(nodes: _Nodes, names: dict[str, str]) -> Iterator[_Fault]:
    """Yield models that are built with pretrained weights."""
    for node in nodes[ast.Call]:
        if _path(node.func, names).startswith("torchvision.models."):
            for keyword in node.keywords:
                value = keyword.value
                given = isinstance(value, ast.Constant) and bool(value.value)
                if given and keyword.arg in ("pretrained", "weights", "weights_backbone"):
                    yield node.lineno, "uses pretrained weights"


def _effect_faults(body: list[ast.stmt], own: set[str]) -> Iterator[_Fault]:
    """Yield module-level statements that do more than import, define, or set own names."""
    for node in body:
        if isinstance(node, ast.If):
            names = {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
            if "__name__" not in names:
                yield from _effect_faults([*node.body, *node.orelse], own)
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            parts = [*node.body, *handlers, *node.orelse, *node.finalbody]
            yield from _effect_faults(parts, own)
        elif not _only_defines(node, own):
            yield node.lineno, "does more than define when it is imported"


def _only_defines(node: ast.stmt, own: set[str]) -> bool:
    """Return True if a module-level statement only imports, defines or sets own names."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return all(_sets_own(target, own) for target in node.targets)
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return _sets_own(node.target, own)
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Pass | ast.Raise
    return isinstance(node, kinds)


def _sets_own(target: ast.expr, own: set[str]) -> bool:
    """Return True if an assignment's target belongs to a name that the file defines."""
    if isinstance(target, ast.Tuple):
        return all(_sets_own(element, own) for element in target.elts)
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return isinstance(target, ast.Name) and target.id in own


def _path(node: ast.expr, names: dict[str, str]) -> str:
    """Return `torch.nn.Conv2d` for an attribute chain that begins at an import, else ""."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return ""
    return ".".join([names[node.id], *reversed(parts)])
