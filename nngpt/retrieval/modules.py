"""One module, parsed once: its top-level statements, what they bind and what they change."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from nngpt.files import decode
from nngpt.retrieval.name_uses import Uses
from nngpt.retrieval.name_visitor import uses_of
from nngpt.retrieval.scope import Binding, Import, bound_by
from nngpt.retrieval.source_text import Span, Text
from nngpt.retrieval.sources import File, Source

_CHANGERS = {"setattr", "delattr"}


@dataclass(frozen=True)
class Broken:
    """A module that cannot be read or parsed, and why."""

    file: File
    reason: str


@dataclass(eq=False)
class Statement:
    """A module-level statement.

    Attributes:
        index: its place in the module.
        span: all of it, decorators too.
    """

    module: Module = field(repr=False)
    node: ast.stmt = field(repr=False)
    index: int
    span: Span

    @cached_property
    def bindings(self) -> list[Binding]:
        """What it binds at module level, `global` statements inside functions not counted."""
        return bound_by([self.node]).bindings

    @cached_property
    def changes(self) -> frozenset[str]:
        """Names whose objects it changes without binding them: `X.update(…)`, `X[0] = …`."""
        return frozenset(_changes([self.node]))

    @cached_property
    def uses(self) -> Uses:
        """What it uses."""
        return uses_of(self.node, self.module.text)

    @property
    def key(self) -> tuple[str, int]:
        """Tells it from all others."""
        return self.module.name, self.index

    @property
    def is_import(self) -> bool:
        """True for an import statement that nothing guards."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))


class Module:
    """A module of a source.

    Attributes:
        source, file: where it comes from.
        text: its text.
        statements: all, in order; the docstring and `from __future__` left out.
        future: features it imports from `__future__`.
    """

    def __init__(self, source: Source, file: File, raw: bytes, tree: ast.Module, code: str) -> None:
        self.source, self.file, self.name = source, file, file.module
        self.text = Text.of(code)
        self.sha256 = hashlib.sha256(raw).hexdigest()
        self.future: set[str] = set()
        self.statements: list[Statement] = []
        for index, node in enumerate(tree.body):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                self.future.update(alias.name for alias in node.names)
            elif not _is_text(node):
                self.statements.append(Statement(self, node, index, _whole(node, self.text)))

    @cached_property
    def bindings(self) -> dict[str, list[tuple[Statement, Binding]]]:
        """Every module-level binding of each name, in order."""
        found: dict[str, list[tuple[Statement, Binding]]] = {}
        for statement in self.statements:
            for binding in statement.bindings:
                found.setdefault(binding.name, []).append((statement, binding))
        return found

    @cached_property
    def changes(self) -> dict[str, list[Statement]]:
        """The statements that change the object behind each name."""
        found: dict[str, list[Statement]] = {}
        for statement in self.statements:
            for name in sorted(statement.changes):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def stars(self) -> list[Import]:
        """Its `from … import *`, in order."""
        return [b.statement for _, b in self.bindings.get("*", []) if b.statement is not None]

    @cached_property
    def listed(self) -> frozenset[str] | None:
        """The names in `__all__`, or None if it has none or computes it."""
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

    def classes(self) -> Iterator[str]:
        """Names of its module-level classes, guarded ones too."""
        for name, places in self.bindings.items():
            if any(isinstance(b.node, ast.ClassDef) for _, b in places):
                yield name

    def absolute(self, statement: ast.ImportFrom) -> str | None:
        """The module that a `from … import` names, or None if it goes above the root."""
        if not statement.level:
            return statement.module
        parts = self.name.split(".")
        drop = statement.level - (1 if self.file.package else 0)
        if drop >= len(parts) + (0 if statement.module else 1) and drop > len(parts) - 1:
            return None
        base = parts[: len(parts) - drop]
        return ".".join([*base, statement.module] if statement.module else base)


def parse(source: Source, file: File) -> Module | Broken:
    """Read and parse one module; one that cannot be is named with the reason."""
    try:
        raw = file.read()
        code = decode(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes: not our code
            tree = ast.parse(code)
    except OSError as error:
        return Broken(file, f"cannot be read ({error.strerror})")
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        return Broken(file, f"does not parse ({error})")
    return Module(source, file, raw, tree, code)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _whole(node: ast.stmt, text: Text) -> Span:
    span = text.span(node)
    decorators = getattr(node, "decorator_list", [])
    if decorators:
        at = text.raw.rfind(b"@", 0, text.span(decorators[0]).start)
        return Span(at, span.end)
    return span


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
    elif isinstance(call.func, ast.Name) and call.func.id in _CHANGERS and call.args:
        first = call.args[0]
        if root := first.id if isinstance(first, ast.Name) else _root(first):
            yield root


def _root(node: ast.expr) -> str | None:
    """`X` of `X.a`, `X[i]`, `X.a[i].b`; None for a plain name."""
    inner = node
    while isinstance(inner, (ast.Attribute, ast.Subscript, ast.Call)):
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    return inner.id if isinstance(inner, ast.Name) and inner is not node else None
