"""Find the name uses in a statement, resolving scopes as Python does."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from nngpt.retrieval.scope import (
    Binding,
    Comprehension,
    Definition,
    Import,
    ScopeBindings,
    bindings_of,
    evaluated_outside,
    parameters,
    targets,
)
from nngpt.retrieval.source_text import SourceText, Span

AttributeChain = tuple[tuple[str, int], ...]
"""Attributes read from a name, with the ends of their text."""


class UseTime(Enum):
    """When a name is looked up."""

    IMPORT = "when the module is imported"
    CALL = "when a function runs"
    ANNOTATION = "in an annotation"


@dataclass(frozen=True)
class NameUse:
    """One use of a name that is not local.

    Attributes:
        span: byte range of the name; None if unknown (in f-strings before Python 3.12).
        chain: attributes read from it, with their ends: `a.b.c` gives b, c.
        hidden: visible local names, which a new name must not equal.
        store: True if the name is bound there, not read.
        binding: the import inside a function or class that binds the name, or None.
        whole: byte range of the enclosing annotation or f-string, or None.
    """

    name: str
    span: Span | None
    when: UseTime
    chain: AttributeChain = ()
    hidden: frozenset[str] = frozenset()
    store: bool = False
    binding: Binding | None = None
    whole: Span | None = None


@dataclass
class StatementUses:
    """Name uses and inner imports of a statement."""

    uses: list[NameUse] = field(default_factory=list)
    imports: list[InnerImport] = field(default_factory=list)


@dataclass(frozen=True)
class InnerImport:
    """An import statement inside a compound statement, class or function.

    Attributes:
        followed: names that only this import binds in its function, so that uses can be replaced.
        hidden: visible local names.
        top: True at module level.
    """

    statement: Import
    span: Span
    when: UseTime
    followed: frozenset[str]
    hidden: frozenset[str]
    top: bool


@dataclass
class _Scope:
    kind: str
    names: set[str]
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    imports: dict[str, Binding] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    hidden: frozenset[str] = frozenset()


def uses_of(statement: ast.stmt, text: SourceText) -> StatementUses:
    """Return the name uses and inner imports of a module-level statement."""
    visitor = _Visitor(text)
    visitor.visit(statement)
    return visitor.found


class _Visitor(ast.NodeVisitor):
    def __init__(self, text: SourceText) -> None:
        self.text = text
        self.found = StatementUses()
        self.scopes: list[_Scope] = []
        self.when = UseTime.IMPORT
        self.annotation: Span | None = None
        self.fstring: Span | None = None

    def visit_Name(self, node: ast.Name) -> None:
        self._name(node.id, self.text.span(node), not isinstance(node.ctx, ast.Load))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        links: list[ast.Attribute] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            links.append(inner)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            self.visit(inner)
            return
        chain = tuple((link.attr, self.text.span(link).end) for link in reversed(links))
        self._name(inner.id, self.text.span(inner), False, chain)

    def _name(self, name: str, span: Span | None, store: bool, chain: AttributeChain = ()) -> None:
        if store and self.scopes and self.scopes[-1].kind == "class":
            self.scopes[-1].seen.add(name)
        binding: Binding | None = None
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope.globals:
                break
            if name in scope.nonlocals or (scope.kind == "class" and depth > 0):
                continue
            if name in scope.imports:
                binding = scope.imports[name]
                break
            if name in (scope.seen if scope.kind == "class" else scope.names):
                return
        if store and binding is not None:
            return
        if span is not None and self.text.raw[span.start : span.end] != name.encode():
            span = None
        whole = self.annotation or self.fstring
        use = NameUse(name, span, self.when, chain, self._hidden(), store, binding, whole)
        self.found.uses.append(use)

    def _hidden(self) -> frozenset[str]:
        return self.scopes[-1].hidden if self.scopes else frozenset()

    def _enter(self, scope: _Scope) -> None:
        scope.hidden = self._hidden() | (scope.names - scope.globals)
        self.scopes.append(scope)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        outer = self.fstring
        self.fstring = outer or self.text.span(node)
        self.generic_visit(node)
        self.fstring = outer

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all(evaluated_outside(node))
        for parameter in parameters(node.args):
            self._annotation(parameter.annotation)
        self._annotation(node.returns)
        self._defined(node)
        bound = bindings_of(node.body)
        names = {p.arg for p in parameters(node.args)}
        self._inside(node.body, self._function_scope(bound, names), UseTime.CALL)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all(evaluated_outside(node))
        names = {p.arg for p in parameters(node.args)}
        scope = self._function_scope(bindings_of([node.body]), names)
        self._inside([node.body], scope, UseTime.CALL)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all(evaluated_outside(node))
        self._defined(node)
        bound = bindings_of(node.body)
        scope = _Scope("class", bound.names(), bound.globals, bound.outer - bound.globals)
        self._inside(node.body, scope, self.when)

    def _function_scope(self, bound: ScopeBindings, parameters: set[str]) -> _Scope:
        names = (bound.names() | parameters) - bound.outer
        scope = _Scope("function", names, bound.globals, bound.outer - bound.globals)
        for name in names - parameters:
            places = [b for b in bound.bindings if b.name == name]
            if all(b.statement is not None for b in places) and len(places) == 1:
                scope.imports[name] = places[0]
        scope.names = names | {"__class__"}
        return scope

    def _inside(self, body: Sequence[ast.AST], scope: _Scope, when: UseTime) -> None:
        outer = self.when
        self._enter(scope)
        self.when = when if outer is not UseTime.CALL else outer
        self._all(body)
        self.scopes.pop()
        self.when = outer

    def _defined(self, node: Definition) -> None:
        head = self.text.span(node)
        start = self.text.word("class" if isinstance(node, ast.ClassDef) else "def", head)
        after = Span(start.end if start else head.start, head.end)
        self._name(node.name, self.text.word(node.name, after), True)

    def _annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        outer = self.when, self.annotation
        self.when, self.annotation = UseTime.ANNOTATION, self.text.span(node)
        self.visit(node)
        self.when, self.annotation = outer

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.target)

    def visit_ListComp(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        scope = _Scope("comprehension", targets(node))
        self._enter(scope)
        for number, generator in enumerate(node.generators):
            self.visit(generator.target)
            if number:
                self.visit(generator.iter)
            self._all(generator.ifs)
        if isinstance(node, ast.DictComp):
            self._all([node.key, node.value])
        else:
            self.visit(node.elt)
        self.scopes.pop()

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self._all(node.targets)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        if node.name:
            self._bound_in(node, node.name, after=node.type)
        self._all(node.body)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        self.generic_visit(node)
        if name := node.rest if isinstance(node, ast.MatchMapping) else node.name:
            self._bound_in(node, name)

    visit_MatchStar = visit_MatchMapping = visit_MatchAs  # noqa: N815

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self._bound_in(node, name)

    def _bound_in(
        self,
        node: ast.ExceptHandler | ast.pattern | ast.stmt,
        name: str,
        after: ast.expr | None = None,
    ) -> None:
        whole = self.text.span(node)
        start = self.text.span(after).end if after is not None else whole.start
        self._name(name, self.text.word(name, Span(start, whole.end)), True)

    def visit_Import(self, node: Import) -> None:
        scope = self.scopes[-1] if self.scopes else None
        followed = {n for n, b in scope.imports.items() if b.statement is node} if scope else set()
        if scope is not None and scope.kind == "class":
            scope.seen |= {b.name for b in bindings_of([node]).bindings}
        place = self.text.span(node), self.when, frozenset(followed), self._hidden()
        self.found.imports.append(InnerImport(node, *place, top=scope is None))

    visit_ImportFrom = visit_Import  # noqa: N815

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)
