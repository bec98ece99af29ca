"""Parse a source file into a module: its statements with the names they bind, change and use."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from nngpt.files import decode
from nngpt.retrieval.name_uses import StatementUses, uses_of
from nngpt.retrieval.scope import Binding, Import, bindings_of
from nngpt.retrieval.source_text import SourceText, Span
from nngpt.retrieval.sources import LibrarySource, SourceFile


@dataclass(frozen=True)
class BrokenModule:
    """A module that cannot be read or parsed, and the reason."""

    file: SourceFile
    reason: str


@dataclass(eq=False)
class Statement:
    """A statement at module level, the module's number `index`; `span` includes decorators."""

    module: Module = field(repr=False)
    node: ast.stmt = field(repr=False)
    index: int
    span: Span

    @cached_property
    def bindings(self) -> list[Binding]:
        """Module-level bindings, without `global` statements inside functions."""
        return bindings_of([self.node]).bindings

    @cached_property
    def changes(self) -> frozenset[str]:
        """Names of objects changed without binding them: `X.update(…)`, `X[0] = …`."""
        return frozenset(_changes([self.node]))

    @cached_property
    def uses(self) -> StatementUses:
        """Name uses in the statement."""
        return uses_of(self.node, self.module.text)

    @property
    def key(self) -> tuple[str, int]:
        """Unique key: module name and index."""
        return self.module.name, self.index

    @property
    def is_import(self) -> bool:
        """True for an unguarded import statement."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))


class Module:
    """A module of a source; `statements` omit the docstring and the imports from `__future__`."""

    def __init__(
        self, source: LibrarySource, file: SourceFile, raw: bytes, tree: ast.Module, code: str
    ) -> None:
        self.source, self.file, self.name = source, file, file.module
        self.text = SourceText(code)
        self.sha256 = hashlib.sha256(raw).hexdigest()
        self.future: set[str] = set()
        self.statements: list[Statement] = []
        for index, node in enumerate(tree.body):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                self.future.update(alias.name for alias in node.names)
            elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                span = _span_with_decorators(node, self.text)
                self.statements.append(Statement(self, node, index, span))

    @cached_property
    def bindings(self) -> dict[str, list[tuple[Statement, Binding]]]:
        """Name → every module-level binding of it, in order."""
        found: dict[str, list[tuple[Statement, Binding]]] = {}
        for statement in self.statements:
            for binding in statement.bindings:
                found.setdefault(binding.name, []).append((statement, binding))
        return found

    @cached_property
    def changes(self) -> dict[str, list[Statement]]:
        """Name → the statements that change its object."""
        found: dict[str, list[Statement]] = {}
        for statement in self.statements:
            for name in sorted(statement.changes):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def stars(self) -> list[Import]:
        """The `from … import *` statements, in order."""
        return [b.statement for _, b in self.bindings.get("*", []) if b.statement is not None]

    @cached_property
    def listed(self) -> frozenset[str] | None:
        """The names in `__all__`, or None if it is missing or computed."""
        names: set[str] = set()
        for statement, binding in self.bindings.get("__all__", []):
            node = statement.node
            if binding.guards or not isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
                return None
            try:
                names.update(ast.literal_eval(node.value))  # type: ignore[arg-type]
            except (ValueError, TypeError):
                return None
        return frozenset(names) if "__all__" in self.bindings else None

    def exports(self, name: str) -> bool:
        """Return True if `from … import *` takes a name of this module."""
        return name in self.listed if self.listed is not None else not name.startswith("_")

    def classes(self) -> Iterator[str]:
        """Yield the names of module-level classes, including guarded ones."""
        for name, places in self.bindings.items():
            if any(isinstance(b.node, ast.ClassDef) for _, b in places):
                yield name

    def absolute(self, statement: ast.ImportFrom) -> str | None:
        """Return the absolute module of a `from … import`, or None if it is above the root."""
        if not statement.level:
            return statement.module
        parts = self.name.split(".")
        drop = statement.level - (1 if self.file.package else 0)
        if drop >= len(parts) + (0 if statement.module else 1):
            return None
        base = parts[: len(parts) - drop]
        return ".".join([*base, statement.module] if statement.module else base)


def parse(source: LibrarySource, file: SourceFile) -> Module | BrokenModule:
    """Parse a library's module into statements; return a `BrokenModule` if that fails."""
    try:
        raw = file.read()
        code = decode(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the library's code
            tree = ast.parse(code)
    except OSError as error:
        return BrokenModule(file, f"cannot be read ({error.strerror})")
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        return BrokenModule(file, f"does not parse ({error})")
    return Module(source, file, raw, tree, code)


def _span_with_decorators(node: ast.stmt, text: SourceText) -> Span:
    span = text.span(node)
    decorators = getattr(node, "decorator_list", [])
    if not decorators:
        return span
    return Span(text.raw.rfind(b"@", 0, text.span(decorators[0]).start), span.end)


def _changes(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield from _changed_by_call(node.value)
        elif isinstance(node, (ast.Assign, ast.Delete)):
            yield from (root for t in node.targets if (root := _root(t)))
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            if root := _root(node.target):
                yield root
        elif isinstance(node, (ast.If, ast.Try, ast.TryStar, ast.For, ast.While, ast.With)):
            yield from _changes(ast.iter_child_nodes(node))
        elif isinstance(node, ast.ExceptHandler):
            yield from _changes(node.body)


def _changed_by_call(call: ast.Call) -> Iterator[str]:
    if isinstance(call.func, ast.Attribute):
        if root := _root(call.func):
            yield root
        if call.func.attr == "wrap" and call.args and isinstance(call.args[0], ast.Constant):
            yield str(call.args[0].value)  # torch.fx.wrap("name")
    elif isinstance(call.func, ast.Name) and call.func.id in {"setattr", "delattr"} and call.args:
        first = call.args[0]
        if root := first.id if isinstance(first, ast.Name) else _root(first):
            yield root


def _root(node: ast.expr) -> str | None:
    """Return `X` for `X.a`, `X[i]` and `X.a[i].b`; None for a plain name."""
    inner = node
    while isinstance(inner, (ast.Attribute, ast.Subscript, ast.Call)):
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    return inner.id if isinstance(inner, ast.Name) and inner is not node else None
