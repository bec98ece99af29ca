"""What each name in a statement stands for, and what keeps it from being imported.

A name is *blocked* if importing what it stands for needs a package that is neither torch, nor the
standard library, nor a source. A blocked name that only a function body uses does not matter until
that function runs: there it becomes an import of its own, which fails just where the original
would. A blocked name that is needed at import time blocks the statement.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from nngpt.retrieval.library import (
    ALLOWED,
    Builtin,
    Inside,
    Library,
    Local,
    Meaning,
    Outside,
    Unknown,
)
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.name_uses import InnerImport, Use, When
from nngpt.retrieval.scope import Binding, bound_name, for_types


@dataclass(frozen=True)
class Link:
    """A use and what it stands for.

    Attributes:
        depth: how many attributes of the use's chain belong to the name: 1 for `layers.Mlp`.
        blockers: packages missing for it, if any.
    """

    use: Use
    meaning: Meaning
    depth: int
    blockers: frozenset[str] = frozenset()

    @property
    def end(self) -> int:
        """Where the text ends that stands for `meaning`."""
        assert self.use.span is not None
        return self.use.chain[self.depth - 1][1] if self.depth else self.use.span.end


@dataclass(frozen=True)
class ImportLink:
    """One name that an import inside a statement brings.

    Attributes:
        kept: True if it stays an import; else the name is bound by an assignment, or its uses
            are replaced.
    """

    inner: InnerImport
    alias: ast.alias
    name: str
    meaning: Meaning
    kept: bool

    @property
    def followed(self) -> bool:
        """Whether the uses of the name are replaced, so that nothing needs to bind it."""
        return self.name in self.inner.followed


@dataclass(frozen=True)
class Links:
    """All names and imports of one statement."""

    uses: tuple[Link, ...]
    imports: tuple[ImportLink, ...]


class Linker:
    """Links statements, each once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._links: dict[tuple[str, int], Links] = {}
        self._blockers: dict[Local, frozenset[str]] = {}

    def providers(self, name: Local) -> list[Statement]:
        """The statements of its module that bind a name or change its object, in order."""
        module = self.library.module(name.module)
        if module is None:
            return []
        bound = [s for s, b in module.bindings.get(name.name, []) if not for_types(b)]
        changed = module.changes.get(name.name, [])
        return sorted({s.index: s for s in [*bound, *changed]}.values(), key=lambda s: s.index)

    def links(self, statement: Statement) -> Links:
        """What the names in a statement stand for."""
        if statement.key not in self._links:
            uses = tuple(self._link(statement, use) for use in statement.uses.uses)
            # A module that is used as an object, or what is blocked, stays an import.
            needed = {id(u.use.binding.node) for u in uses if u.use.binding and u.blockers}
            imports = tuple(
                self._import(statement, inner, alias, id(alias) in needed)
                for inner in statement.uses.imports
                for alias in inner.statement.names
            )
            self._links[statement.key] = Links(uses, imports)
        return self._links[statement.key]

    def blockers(self, name: Local) -> frozenset[str]:
        """What is missing to import a name, as dotted names."""
        if name not in self._blockers:
            self._blockers[name] = frozenset()  # cuts circles
            found: set[str] = set()
            for statement in self.providers(name):
                found |= self._statement_blockers(statement, name)
            self._blockers[name] = frozenset(found)
        return self._blockers[name]

    def _statement_blockers(self, statement: Statement, name: Local) -> set[str]:
        links = self.links(statement)
        found: set[str] = set()
        for link in links.uses:
            if link.use.when is When.NOW and link.use.binding is None and not link.use.store:
                found |= link.blockers
        kept = [i for i in links.imports if i.kept and i.inner.when is When.NOW]
        last = kept if statement.is_import else [i for i in kept if _is_last_choice(statement, i)]
        for one in last:
            if foreign(one.meaning) and one.name == name.name:
                found.add(one.meaning.dotted)
        return found | set(_loaded_by_name(statement))

    # -- one use ----------------------------------------------------------------------------

    def _link(self, statement: Statement, use: Use) -> Link:
        module = statement.module
        if use.binding is not None:
            meaning = self.library.imported(module, use.binding)
        else:
            meaning = self.library.meaning(module.name, use.name)
        depth = 0
        while isinstance(meaning, Inside) and depth < len(use.chain):
            meaning = self.library.member(meaning.module, use.chain[depth][0])
            depth += 1
        if use.when is When.NEVER or use.store:
            return Link(use, meaning, depth)
        return Link(use, meaning, depth, self._missing(meaning))

    def _missing(self, meaning: Meaning) -> frozenset[str]:
        if isinstance(meaning, Local):
            return self.blockers(meaning)
        if isinstance(meaning, Inside):
            return frozenset({f"module {meaning.module}"})
        return frozenset({meaning.dotted}) if foreign(meaning) else frozenset()

    def _import(
        self, statement: Statement, inner: InnerImport, alias: ast.alias, needed: bool
    ) -> ImportLink:
        name = bound_name(alias, inner.statement)
        binding = Binding(name, alias, inner.statement)
        meaning = self.library.imported(statement.module, binding)
        kept = isinstance(meaning, (Outside, Unknown, Builtin))
        if isinstance(meaning, Local):
            kept = bool(self.blockers(meaning))
        elif isinstance(meaning, Inside):
            kept = needed or name not in inner.followed
        return ImportLink(inner, alias, name, meaning, kept)


def _is_last_choice(statement: Statement, one: ImportLink) -> bool:
    """Whether an import is made where another one has failed: `try: … except ImportError: here`."""
    places = [b for b in statement.bindings if b.node is one.alias]
    return any(
        isinstance(node, ast.ExceptHandler) or branch == "handlers"
        for b in places
        for node, branch in b.guards
    )


def _loaded_by_name(statement: Statement) -> Iterator[str]:
    """Modules that a plain assignment loads by a name in quotes: compiled operators, mostly."""
    value = statement.node.value if isinstance(statement.node, ast.Assign) else None
    if not isinstance(value, ast.Call) or not value.args:
        return
    called = value.func.attr if isinstance(value.func, ast.Attribute) else ""
    loaded = value.args[0].value if isinstance(value.args[0], ast.Constant) else None
    if called == "load_ext" and isinstance(loaded, str):  # mmcv's own loader
        yield f"{statement.module.name.split('.')[0]}.{loaded}"
    elif called == "import_module" and isinstance(loaded, str) and loaded[:1] != ".":
        yield from [loaded] if loaded.split(".")[0] not in ALLOWED else []


def foreign(meaning: Meaning) -> TypeGuard[Outside]:
    """Whether a meaning is a package that an extracted file may not import."""
    return isinstance(meaning, Outside) and not meaning.allowed
