"""Find the name uses in a statement, resolving scopes as Python does."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nngpt.retrieval.name_uses import InnerImport, NameUse, StatementUses, UseTime
from nngpt.retrieval.scope import (
    COMPREHENSIONS,
    Binding,
    Comprehension,
    Definition,
    Import,
    ScopeBindings,
    bindings_of,
    parameters,
    targets,
)
from nngpt.retrieval.source_text import SourceText, Span


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

    # -- names ------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        store = not isinstance(node.ctx, ast.Load)
        self._name(node.id, self.text.span(node), store=store)

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
        self._name(inner.id, self.text.span(inner), chain=chain)

    def _name(
        self,
        name: str,
        span: Span | None,
        *,
        store: bool = False,
        chain: tuple[tuple[str, int], ...] = (),
    ) -> None:
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
        if span is not None and not self.text.holds(name, span):
            span = None
        self.found.uses.append(
            NameUse(
                name,
                span,
                self.when,
                chain,
                self._hidden(),
                store,
                binding,
                self.annotation or self.fstring,
            )
        )

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

    # -- definitions ------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all(node.decorator_list)
        self._defaults(node.args)
        for parameter in parameters(node.args):
            self._annotation(parameter.annotation)
        self._annotation(node.returns)
        self._defined(node)
        bound = bindings_of(node.body)
        names = {p.arg for p in parameters(node.args)}
        self._inside(node.body, self._function_scope(bound, names), UseTime.CALL)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        names = {p.arg for p in parameters(node.args)}
        scope = self._function_scope(bindings_of([node.body]), names)
        self._inside([node.body], scope, UseTime.CALL)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all(node.decorator_list)
        self._all(node.bases)
        self._all([keyword.value for keyword in node.keywords])
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
        if not isinstance(node, ast.ClassDef):
            head = self.text.span(node)
            start = self.text.word("def", head)
        else:
            head = self.text.span(node)
            start = self.text.word("class", head)
        after = Span(start.end if start else head.start, head.end)
        self._name(node.name, self.text.word(node.name, after), store=True)

    def _defaults(self, arguments: ast.arguments) -> None:
        self._all([*arguments.defaults, *(d for d in arguments.kw_defaults if d)])

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

    # -- other scopes -----------------------------------------------------------------------

    def _comprehension(self, node: Comprehension) -> None:
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

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, COMPREHENSIONS):
            self._comprehension(node)
        else:
            super().visit(node)

    # -- bindings without a Name ------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self._all(node.targets)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        if node.name:
            self._bound_in(node, node.name, after=node.type)
        self._all(node.body)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.pattern is not None:
            self.visit(node.pattern)
        if node.name:
            self._bound_in(node, node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._bound_in(node, node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self._bound_in(node, node.rest)

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
        self._name(name, self.text.word(name, Span(start, whole.end)), store=True)

    def visit_Import(self, node: ast.Import) -> None:
        self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._import(node)

    def _import(self, node: Import) -> None:
        scope = self.scopes[-1] if self.scopes else None
        followed = {n for n, b in scope.imports.items() if b.statement is node} if scope else set()
        if scope is not None and scope.kind == "class":
            scope.seen |= {b.name for b in bindings_of([node]).bindings}
        self.found.imports.append(
            InnerImport(
                node,
                self.text.span(node),
                self.when,
                frozenset(followed),
                self._hidden(),
                scope is None,
            )
        )

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)
