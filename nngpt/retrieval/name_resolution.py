"""Resolve each name in a statement, and find what prevents its import.

A name is *blocked* if importing it needs a package that is neither torch, nor the standard
library, nor a source. A blocked name used only in a function body does not matter until the
function runs: there it becomes an import of its own, which fails where the original would. A
blocked name that is needed at import time blocks the statement.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from nngpt.retrieval.library import (
    ALLOWED,
    ExternalName,
    InternalModule,
    Library,
    LocalName,
    Meaning,
)
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.name_uses import InnerImport, NameUse, UseTime
from nngpt.retrieval.scope import Binding, bound_name, in_type_checking


@dataclass(frozen=True)
class ResolvedUse:
    """A name use and what it refers to.

    Attributes:
        depth: number of attributes in the chain that belong to the name: 1 for `layers.Mlp`.
        blockers: packages that are missing for it.
    """

    use: NameUse
    meaning: Meaning
    depth: int
    blockers: frozenset[str] = frozenset()

    @property
    def end(self) -> int:
        """Offset at which the text that refers to `meaning` ends."""
        assert self.use.span is not None
        return self.use.chain[self.depth - 1][1] if self.depth else self.use.span.end


@dataclass(frozen=True)
class ResolvedImport:
    """One name bound by an import inside a statement.

    Attributes:
        kept: True if it stays an import; otherwise an assignment binds the name, or its uses are
            replaced.
    """

    inner: InnerImport
    alias: ast.alias
    name: str
    meaning: Meaning
    kept: bool

    @property
    def followed(self) -> bool:
        """True if the uses of the name are replaced, so that nothing must bind it."""
        return self.name in self.inner.followed


@dataclass(frozen=True)
class ResolvedStatement:
    """All name uses and imports of one statement."""

    uses: tuple[ResolvedUse, ...]
    imports: tuple[ResolvedImport, ...]


class NameResolver:
    """Resolve the names in statements, each statement once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._links: dict[tuple[str, int], ResolvedStatement] = {}
        self._blockers: dict[LocalName, frozenset[str]] = {}

    def providers(self, name: LocalName) -> list[Statement]:
        """Return the statements that bind a name or change its object, in order."""
        module = self.library.module(name.module)
        if module is None:
            return []
        bound = [s for s, b in module.bindings.get(name.name, []) if not in_type_checking(b)]
        changed = module.changes.get(name.name, [])
        return sorted({s.index: s for s in [*bound, *changed]}.values(), key=lambda s: s.index)

    def resolve(self, statement: Statement) -> ResolvedStatement:
        """Return the resolved names of a statement."""
        if statement.key not in self._links:
            uses = tuple(self._resolve_use(statement, use) for use in statement.uses.uses)
            # Modules used as objects and blocked names stay imports.
            needed = {id(u.use.binding.node) for u in uses if u.use.binding and u.blockers}
            imports = tuple(
                self._resolve_import(statement, inner, alias, id(alias) in needed)
                for inner in statement.uses.imports
                for alias in inner.statement.names
            )
            self._links[statement.key] = ResolvedStatement(uses, imports)
        return self._links[statement.key]

    def blockers(self, name: LocalName) -> frozenset[str]:
        """Return the dotted names that are missing for importing a name."""
        if name not in self._blockers:
            self._blockers[name] = frozenset()  # ends cycles
            found = [self._statement_blockers(s, name) for s in self.providers(name)]
            self._blockers[name] = frozenset().union(*found)
        return self._blockers[name]

    def missing(self, meaning: Meaning) -> frozenset[str]:
        """Return the dotted names that are missing for importing what a name refers to."""
        if isinstance(meaning, LocalName):
            return self.blockers(meaning)
        if isinstance(meaning, InternalModule):
            return frozenset({f"module {meaning.module}"})
        return frozenset({meaning.dotted}) if foreign(meaning) else frozenset()

    def _statement_blockers(self, statement: Statement, name: LocalName) -> set[str]:
        links = self.resolve(statement)
        found = set(_loaded_by_name(statement))
        for link in links.uses:
            if link.use.when is UseTime.IMPORT and link.use.binding is None and not link.use.store:
                found |= link.blockers
        for one in links.imports:
            needed = one.kept and one.inner.when is UseTime.IMPORT and one.name == name.name
            last = statement.is_import or _is_last_choice(statement, one)
            if needed and last and foreign(one.meaning):
                found.add(one.meaning.dotted)
        return found

    def _resolve_use(self, statement: Statement, use: NameUse) -> ResolvedUse:
        module = statement.module
        if use.binding is not None:
            meaning = self.library.resolve_import(module, use.binding)
        else:
            meaning = self.library.resolve(module.name, use.name)
        depth = 0
        while isinstance(meaning, InternalModule) and depth < len(use.chain):
            meaning = self.library.resolve_member(meaning.module, use.chain[depth][0])
            depth += 1
        if use.when is UseTime.ANNOTATION or use.store:
            return ResolvedUse(use, meaning, depth)
        return ResolvedUse(use, meaning, depth, self.missing(meaning))

    def _resolve_import(
        self, statement: Statement, inner: InnerImport, alias: ast.alias, needed: bool
    ) -> ResolvedImport:
        name = bound_name(alias, inner.statement)
        binding = Binding(name, alias, inner.statement)
        meaning, kept = self.library.resolve_import(statement.module, binding), True
        if isinstance(meaning, LocalName):
            kept = bool(self.blockers(meaning))
        elif isinstance(meaning, InternalModule):
            kept = needed or name not in inner.followed
        return ResolvedImport(inner, alias, name, meaning, kept)


def _is_last_choice(statement: Statement, one: ResolvedImport) -> bool:
    """Return True for an import in a handler: `try: … except ImportError: <import>`."""
    guards = [guard for b in statement.bindings if b.node is one.alias for guard in b.guards]
    return any(isinstance(n, ast.ExceptHandler) or branch == "handlers" for n, branch in guards)


def _loaded_by_name(statement: Statement) -> Iterator[str]:
    """Yield modules that an assignment loads by a quoted name, such as compiled operators."""
    value = statement.node.value if isinstance(statement.node, ast.Assign) else None
    if not isinstance(value, ast.Call) or not value.args:
        return
    called = value.func.attr if isinstance(value.func, ast.Attribute) else ""
    loaded = value.args[0].value if isinstance(value.args[0], ast.Constant) else None
    if called == "load_ext" and isinstance(loaded, str):  # mmcv's own loader
        yield f"{statement.module.name.split('.')[0]}.{loaded}"
    elif called == "import_module" and isinstance(loaded, str) and loaded[:1] != ".":
        yield from [loaded] if loaded.split(".")[0] not in ALLOWED else []


def foreign(meaning: Meaning) -> TypeGuard[ExternalName]:
    """Return True if a name resolves to a package that an extracted file may not import."""
    return isinstance(meaning, ExternalName) and not meaning.allowed
