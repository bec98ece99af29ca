"""All statements that a class needs, found by following its names."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from nngpt.retrieval.library import Local, Outside
from nngpt.retrieval.modules import Module, Statement
from nngpt.retrieval.name_resolution import Linker, foreign
from nngpt.retrieval.name_uses import When
from nngpt.retrieval.refusals import TooLargeError

MOST = 2000
"""Statements; a whole language model is no block."""

_Key = tuple[str, int]


@dataclass
class Closure:
    """The statements of one file, not yet in order.

    Attributes:
        names: the module-level names it needs, in the order they were met.
        statements: by key.
    """

    names: dict[Local, None] = field(default_factory=dict)
    statements: dict[_Key, Statement] = field(default_factory=dict)

    def modules(self) -> list[Module]:
        """The modules that something comes from, in the order they were met."""
        return list({s.module.name: s.module for s in self.statements.values()}.values())


def close(linker: Linker, target: Local) -> Closure:
    """Everything that `target` needs, at import time or later.

    Raises:
        TooLargeError: that is more than `MOST` statements.
    """
    found = Closure()
    waiting: deque[Statement] = deque()
    _need(linker, target, found, waiting)
    searched: set[_Key] = set()
    while waiting:
        while waiting:
            for name in _needs(linker, waiting.popleft(), found):
                _need(linker, name, found, waiting)
            if len(found.statements) > MOST:
                raise TooLargeError(f"{target.module}.{target.name}", MOST)
        _changed_elsewhere(linker, found, waiting, searched)
    return found


def _need(linker: Linker, name: Local, found: Closure, waiting: deque[Statement]) -> None:
    if name in found.names:
        return
    found.names[name] = None
    for statement in linker.providers(name):
        if statement.key not in found.statements:
            found.statements[statement.key] = statement
            waiting.append(statement)


def _needs(linker: Linker, statement: Statement, found: Closure) -> list[Local]:
    """The names that one statement needs; all that it binds are needed with it."""
    links = linker.links(statement)
    needed: list[Local] = []
    if not statement.is_import:
        needed += [Local(statement.module.name, b.name) for b in statement.bindings]
    for link in links.uses:
        never = link.use.when is When.NEVER and not evaluates_annotations(statement)
        if isinstance(link.meaning, Local) and not never and not link.blockers:
            needed.append(link.meaning)
    for one in links.imports:
        if isinstance(one.meaning, Local) and not one.kept:
            wanted = Local(statement.module.name, one.name) in found.names
            if wanted or not statement.is_import:
                needed.append(one.meaning)
    return needed


def evaluates_annotations(statement: Statement) -> bool:
    """Whether decorators of a statement may read annotations, as `torch.jit.script` does."""
    decorators = getattr(statement.node, "decorator_list", [])
    spans = [statement.module.text.span(d) for d in decorators]
    texts = [statement.module.text.raw[s.start : s.end] for s in spans]
    return any(b"jit" in text or b"script" in text for text in texts)


def _changed_elsewhere(
    linker: Linker, found: Closure, waiting: deque[Statement], searched: set[_Key]
) -> None:
    """Statements of the modules in use that change a needed object of another module."""
    for module in found.modules():
        for name, statements in module.changes.items():
            meaning = linker.library.meaning(module.name, name)
            if not isinstance(meaning, Local) or meaning.module == module.name:
                continue
            if meaning not in found.names:
                continue
            for statement in statements:
                if statement.key in searched or statement.key in found.statements:
                    continue
                searched.add(statement.key)
                if not _blocked(linker, statement):
                    found.statements[statement.key] = statement
                    waiting.append(statement)


def _blocked(linker: Linker, statement: Statement) -> bool:
    links = linker.links(statement).uses
    return any(link.blockers for link in links if link.use.when is When.NOW)


def lazily_imported(linker: Linker, found: Closure) -> list[str]:
    """What functions of the closure import when they run, as dotted names, sorted."""
    names: set[str] = set()
    for statement in found.statements.values():
        links = linker.links(statement)
        for link in links.uses:
            if link.use.when is When.LATER and not link.use.store:
                names |= {name.removeprefix("module ") for name in link.blockers}
        for one in links.imports:
            if one.kept and foreign(one.meaning):
                assert isinstance(one.meaning, Outside)
                names.add(one.meaning.dotted)
    return sorted(names)
