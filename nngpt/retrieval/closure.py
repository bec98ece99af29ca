"""Find all statements that a class needs, by following the names it uses."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from nngpt.errors import UserError
from nngpt.retrieval.decisions import Decision
from nngpt.retrieval.library import LocalName
from nngpt.retrieval.modules import Module, Statement
from nngpt.retrieval.name_resolution import NameResolver, foreign
from nngpt.retrieval.name_uses import UseTime

MOST = 2000
"""Maximum number of statements; more would be a whole model, not a block."""

_Key = tuple[str, int]


class ExtractionRefused(UserError):  # noqa: N818 (an outcome, not a fault)
    """A class that needs another package than torch when imported, or too much of its library.

    `names` are the sorted dotted names that cannot be imported, and `decisions` say where they
    are needed; none if it needs too much.
    """

    names: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()


class AmbiguousName(UserError):  # noqa: N818 (an outcome, not a fault)
    """The name of a class that several modules define."""


@dataclass
class Closure:
    """The names and statements that an extracted file needs, in the order of discovery.

    `names` holds the statement that needed each name first; None for the target.
    """

    names: dict[LocalName, Statement | None] = field(default_factory=dict)
    statements: dict[_Key, Statement] = field(default_factory=dict)

    def modules(self) -> list[Module]:
        """Return the modules of the closure's statements, in the order of discovery."""
        return list({s.module.name: s.module for s in self.statements.values()}.values())


def find_closure(resolver: NameResolver, target: LocalName) -> Closure:
    """Return the closure of `target`: everything that it needs at import time or later.

    Raises: ExtractionRefused if it needs more than `MOST` statements.
    """
    found = Closure()
    waiting: deque[Statement] = deque()
    _add_name(resolver, target, None, found, waiting)
    searched: set[_Key] = set()
    while waiting:
        while waiting:
            statement = waiting.popleft()
            for name in _needed_names(resolver, statement, found):
                _add_name(resolver, name, statement, found, waiting)
            if len(found.statements) > MOST:
                what, where = f"needs more than {MOST:,} definitions", target.dotted
                raise ExtractionRefused(what, where=where, hint="Extract one of its parts")
        _changed_elsewhere(resolver, found, waiting, searched)
    return found


def _add_name(
    resolver: NameResolver,
    name: LocalName,
    needed_by: Statement | None,
    found: Closure,
    waiting: deque[Statement],
) -> None:
    if name not in found.names:
        found.names[name] = needed_by
        for statement in resolver.providers(name):
            if statement.key not in found.statements:
                found.statements[statement.key] = statement
                waiting.append(statement)


def _needed_names(resolver: NameResolver, statement: Statement, found: Closure) -> list[LocalName]:
    """Return the names that a statement needs, including all names it binds."""
    links = resolver.resolve(statement)
    needed: list[LocalName] = []
    if not statement.is_import:
        needed += [LocalName(statement.module.name, b.name) for b in statement.bindings]
    for link in links.uses:
        never = link.use.when is UseTime.ANNOTATION and not _evaluates_annotations(statement)
        if isinstance(link.meaning, LocalName) and not (never or link.blockers):
            needed.append(link.meaning)
    for one in links.imports:
        if isinstance(one.meaning, LocalName) and not one.kept:
            wanted = LocalName(statement.module.name, one.name) in found.names
            if wanted or not statement.is_import:
                needed.append(one.meaning)
    return needed


def _evaluates_annotations(statement: Statement) -> bool:
    """Return True if the closure needs the names in annotations, which a decorator may read."""
    text = statement.module.text
    spans = [text.span(node) for node in getattr(statement.node, "decorator_list", [])]
    texts = [text.raw[span.start : span.end] for span in spans]
    return any(b"jit" in text or b"script" in text for text in texts)


def _changed_elsewhere(
    resolver: NameResolver, found: Closure, waiting: deque[Statement], searched: set[_Key]
) -> None:
    """Add statements of used modules that change a needed object of another module."""
    for module in found.modules():
        for name, statements in module.changes.items():
            meaning = resolver.library.resolve(module.name, name)
            elsewhere = isinstance(meaning, LocalName) and meaning.module != module.name
            if not elsewhere or meaning not in found.names:
                continue
            for statement in statements:
                if statement.key in searched or statement.key in found.statements:
                    continue
                searched.add(statement.key)
                links = resolver.resolve(statement).uses
                if not any(link.blockers for link in links if link.use.when is UseTime.IMPORT):
                    found.statements[statement.key] = statement
                    waiting.append(statement)


def lazy_imports(resolver: NameResolver, found: Closure) -> list[str]:
    """Return the sorted foreign names that a closure's functions import only when they run."""
    names: set[str] = set()
    for statement in found.statements.values():
        links = resolver.resolve(statement)
        for link in links.uses:
            if link.use.when is UseTime.CALL and not link.use.store:
                names |= {name.removeprefix("module ") for name in link.blockers}
        for one in links.imports:
            if one.kept and foreign(one.meaning):
                names.add(one.meaning.dotted)
    return sorted(names)
