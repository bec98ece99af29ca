"""Find the names that a scope binds by assignments, imports, patterns and definitions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Import = ast.Import | ast.ImportFrom
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Guards = tuple[tuple[ast.AST, str], ...]

_COMPOUND = (ast.If, ast.Try, ast.TryStar, ast.For, ast.AsyncFor, ast.While, ast.With)
_TARGETS = {"target", "targets", "optional_vars"}
_PARTS = (ast.withitem, ast.match_case)


@dataclass(frozen=True)
class Binding:
    """One place that binds a name.

    Attributes:
        node: the statement, expression, handler, pattern or `alias` that binds it.
        statement: the import statement, for an import.
        guards: the enclosing compound statements, outermost first, each with its branch.
    """

    name: str
    node: ast.AST
    statement: Import | None = None
    guards: Guards = ()


@dataclass
class ScopeBindings:
    """The places at which one scope binds names, in the order of the text.

    `outer` names are declared `global` or `nonlocal`, and `globals` only `global`.
    """

    bindings: list[Binding] = field(default_factory=list)
    outer: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)

    def names(self) -> set[str]:
        """Return the names that are local to the scope."""
        return {b.name for b in self.bindings} - self.outer


def bindings_of(body: Iterable[ast.AST]) -> ScopeBindings:
    """Return the names bound in a scope, with their places."""
    found = ScopeBindings()
    for node in body:
        _collect(node, found, ())
    return found


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """Return all parameters that bind names in a function's scope, `*args`, `**kwargs` included."""
    rest = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *rest]


def targets(comprehension: Comprehension) -> set[str]:
    """Return the names that a comprehension binds in its own scope."""
    nodes = (n for g in comprehension.generators for n in ast.walk(g.target))
    return {n.id for n in nodes if isinstance(n, ast.Name)}


def evaluated_outside(node: Definition | ast.Lambda) -> list[ast.expr]:
    """Return the decorators, bases and defaults of a definition, which its scope excludes."""
    decorators = getattr(node, "decorator_list", [])
    if isinstance(node, ast.ClassDef):
        return [*decorators, *node.bases, *(keyword.value for keyword in node.keywords)]
    return [*decorators, *node.args.defaults, *(d for d in node.args.kw_defaults if d)]


def bound_name(alias: ast.alias, statement: Import) -> str:
    """Return the name that an import binds in its scope: `a` for `import a.b`."""
    if alias.asname:
        return alias.asname
    return alias.name.split(".")[0] if isinstance(statement, ast.Import) else alias.name


def in_type_checking(binding: Binding) -> bool:
    """Return True if this scope binds a name for type checkers only."""
    tests = [n.test for n, branch in binding.guards if isinstance(n, ast.If) and branch == "body"]
    names = [t.attr if isinstance(t, ast.Attribute) else getattr(t, "id", "") for t in tests]
    return "TYPE_CHECKING" in names


def _collect(node: ast.AST, found: ScopeBindings, guards: Guards) -> None:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        found.bindings.append(Binding(node.name, node, guards=guards))
        for inner in evaluated_outside(node):  # a walrus in them binds here
            _collect_walrus(inner, found, guards)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        imports = (Binding(bound_name(alias, node), alias, node, guards) for alias in node.names)
        found.bindings.extend(imports)
    elif isinstance(node, (ast.Global, ast.Nonlocal)):
        found.outer.update(node.names)
        if isinstance(node, ast.Global):
            found.globals.update(node.names)
    elif isinstance(node, ast.expr):
        _collect_walrus(node, found, guards)
    else:
        _collect_plain(node, found, guards)


def _collect_plain(node: ast.AST, found: ScopeBindings, guards: Guards) -> None:
    name = getattr(node, "rest" if isinstance(node, ast.MatchMapping) else "name", None)
    if name and isinstance(node, (ast.ExceptHandler, ast.pattern)):
        found.bindings.append(Binding(name, node, guards=guards))
    for branch, inner in _children(node):
        if isinstance(inner, ast.expr) and branch in _TARGETS:
            _collect_target(inner, found, guards)
        elif isinstance(inner, (ast.expr, ast.stmt, ast.ExceptHandler, ast.pattern, *_PARTS)):
            deeper = (*guards, (node, branch)) if isinstance(node, _COMPOUND) else guards
            _collect(inner, found, deeper)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for branch, value in ast.iter_fields(node):
        for inner in value if isinstance(value, list) else [value]:
            yield branch, inner


def _collect_target(node: ast.expr, found: ScopeBindings, guards: Guards) -> None:
    if isinstance(node, ast.Name):
        found.bindings.append(Binding(node.id, node, guards=guards))
    elif isinstance(node, (ast.Tuple, ast.List)):
        for inner in node.elts:
            _collect_target(inner, found, guards)
    elif isinstance(node, ast.Starred):
        _collect_target(node.value, found, guards)
    else:
        _collect_walrus(node, found, guards)


def _collect_walrus(node: ast.AST, found: ScopeBindings, guards: Guards) -> None:
    """Collect walrus bindings of an expression, except inside lambdas."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.NamedExpr):
        found.bindings.append(Binding(node.target.id, node.target, guards=guards))
    for _, inner in _children(node):
        if isinstance(inner, (ast.expr, ast.comprehension, ast.keyword)):
            _collect_walrus(inner, found, guards)
