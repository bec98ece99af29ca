"""Check an extracted file without running it, and say what it needs beyond torch."""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from nngpt.retrieval.library import ALLOWED, BUILTINS
from nngpt.retrieval.scope import Binding, bindings_of, in_type_checking

_IN_EVERY_FILE = BUILTINS - {"__path__", "__dict__"}


_TORCH_OPERATORS = frozenset({
    "aten", "prim", "prims", "quantized", "_quantized", "quantized_decomposed", "sparse", "nested",
    "mkldnn", "onednn", "mkl", "xnnpack", "c10d", "c10d_functional", "_c10d_functional", "symm_mem",
    "inductor", "higher_order", "profiler", "debugprims", "rngprims", "fsdp", "static_runtime",
})  # fmt: skip
"""Namespaces of `torch.ops` that torch itself defines."""


@dataclass(frozen=True)
class BeyondTorch:
    """What parts of an extracted file need that torch does not bring, sorted.

    Attributes:
        guarded: packages imported in functions or under guards, such as `try`.
        compiled: operators that a library compiles (`torch.ops.…`). The file can be imported
            without them; a call fails, or takes another way where the code tests for them.
    """

    guarded: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()


@dataclass(frozen=True)
class StaticCheck:
    """Problems of a file; each field is "" or empty if there is none.

    Attributes:
        syntax: why the file does not compile.
        undefined: names that nothing in the file binds; annotations are not checked.
        imported: modules imported unguarded that are neither torch nor standard library.
        missing: the class that the file should define but does not.
        beyond: what parts of the file need that torch does not bring; the file is closed without.
    """

    syntax: str = ""
    undefined: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()
    missing: str = ""
    beyond: BeyondTorch = field(default_factory=lambda: BeyondTorch())

    @property
    def parses(self) -> bool:
        """True if the checked file compiles."""
        return not self.syntax

    @property
    def closed(self) -> bool:
        """True if the checked file compiles, defines its class, and needs nothing beyond torch."""
        return not (self.syntax or self.undefined or self.imported or self.missing)


def check(code: str, name: str) -> StaticCheck:
    """Check an extracted file, which should define the class `name`, without running it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the original code
            tree = ast.parse(code)
            compile(code, "<extracted>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        return StaticCheck(syntax=str(error))
    bindings = [b for b in bindings_of(tree.body).bindings if not in_type_checking(b)]
    defined = {b.name for b in bindings if b.statement is None}
    return StaticCheck(
        undefined=tuple(sorted(_undefined(code))),
        imported=tuple(sorted({m for b in bindings for m in _foreign(b)})),
        beyond=beyond_torch(code),
        missing="" if name in defined else name,
    )


def beyond_torch(code: str) -> BeyondTorch:
    """Return what the parts of a file need that torch does not bring. Raises: SyntaxError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(code)
    unguarded = {id(node) for node in tree.body}
    packages: set[str] = set()
    operators: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            operators |= set(_compiled(node))
        elif isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in unguarded:
            packages |= {m for m in _modules(node) if m.split(".")[0] not in ALLOWED}
    return BeyondTorch(tuple(sorted(packages)), tuple(sorted(operators)))


def _modules(statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    return ["." * statement.level + (statement.module or "")]


def _compiled(node: ast.Attribute) -> Iterator[str]:
    """Yield the operator `torch.ops.NAMESPACE.NAME` that an attribute chain ends in."""
    parts = ast.unparse(node).split(".")
    if parts[:2] == ["torch", "ops"] and len(parts) == 4 and parts[2] not in _TORCH_OPERATORS:
        yield ".".join(parts)


def _undefined(code: str) -> set[str]:
    """Return the names that a scope uses and none binds, according to Python's compiler."""
    scopes = [symtable.symtable(code, "<extracted>", "exec")]
    used: set[str] = set()
    bound = set(_IN_EVERY_FILE)
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        top = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            if (top or symbol.is_declared_global()) and (
                symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            ):
                bound.add(symbol.get_name())
            if (top or symbol.is_global()) and symbol.is_referenced():
                used.add(symbol.get_name())
    return used - bound


def _foreign(binding: Binding) -> Iterator[str]:
    """Yield the module of an unguarded import that is neither torch nor standard library."""
    statement = binding.statement
    if statement is None or binding.guards or not isinstance(binding.node, ast.alias):
        return
    module = binding.node.name
    if isinstance(statement, ast.ImportFrom):
        module = "." * statement.level + (statement.module or "")
    if module.split(".")[0] not in ALLOWED:
        yield module
