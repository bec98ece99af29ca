"""Collect what an extraction decided on each import and name, from what it resolved.

The NNGPT paper plans such an audit of its NN-RAG (check 3 of its summary of open questions).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace

from nngpt.errors import UserError
from nngpt.retrieval.closure import AmbiguousName, Closure, ExtractionRefused
from nngpt.retrieval.decisions import Decision, DecisionKind, FailureClass
from nngpt.retrieval.library import (
    ExternalName,
    Library,
    LocalName,
    Meaning,
    UnknownName,
)
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.name_assignment import AssignedNames, Imported, is_lazy, item_of
from nngpt.retrieval.name_resolution import NameResolver, ResolvedImport, ResolvedUse
from nngpt.retrieval.name_uses import UseTime
from nngpt.retrieval.source_text import Span
from nngpt.retrieval.static_check import StaticCheck

_COMPILED = FailureClass.COMPILED


def decisions_of(
    resolver: NameResolver,
    closure: Closure,
    order: Sequence[Statement],
    names: AssignedNames,
    checked: StaticCheck,
) -> list[Decision]:
    """Return the decisions of an extraction, each once: what was taken, then how it is used."""
    taken = [*_definitions(resolver, closure, names), *_statements(resolver, closure)]
    once: dict[tuple[DecisionKind, str], Decision] = {}
    for statement in order:
        links = resolver.resolve(statement)
        decisions = [
            *(d for link in links.uses for d in _uses(resolver, closure, names, checked, link)),
            *(d for one in links.imports for d in _imports(resolver, closure, statement, one)),
        ]
        for span, decision in decisions:
            placed = _placed(statement, decision, span, needed_by=_label(statement))
            once.setdefault((placed.kind, placed.name), placed)
    target = resolver.providers(next(iter(closure.names)))[0]
    faults = (_placed(target, one) for one in _faults(checked, once))
    return [*taken, *once.values(), *faults]


def refusals_of(
    resolver: NameResolver, target: LocalName, blockers: Sequence[str]
) -> Iterator[Decision]:
    """Yield the refusal of a class for each name that blocks its import, where it is used."""
    for name in blockers:
        statement, span = _blocked_at(resolver, target, name)
        failure = failure_class(resolver.library, name)
        decision = Decision(DecisionKind.REFUSAL, name, failure=failure)
        yield _placed(statement, decision, span, needed_by=_label(statement))


def decisions_of_error(target: str, error: UserError) -> tuple[Decision, ...]:
    """Return the decisions of an extraction that ended with an error, at least its refusal."""
    if isinstance(error, ExtractionRefused) and error.decisions:
        return error.decisions
    ambiguous = isinstance(error, AmbiguousName)
    failure = FailureClass.AMBIGUOUS if ambiguous else FailureClass.OTHER
    return (Decision(DecisionKind.REFUSAL, target, detail=error.what, failure=failure),)


def import_fault(target: str, why: str) -> Decision:
    """Return the fault of a closed file that could not be imported, from the error's text."""
    package = re.search(r"No module named '([\w.]+)'", why)
    failure = FailureClass.PACKAGE if package else FailureClass.OTHER
    failure = FailureClass.GENERATION if "NameError" in why else failure
    name = package[1] if package else target
    return Decision(DecisionKind.FAULT, name, detail=why, failure=failure)


def failure_class(library: Library, name: str) -> FailureClass:
    """Return why a dotted name, or `module NAME` for a module used as an object, is missing."""
    top, (parent, _, last) = name.partition(".")[0], name.rpartition(".")
    if name.startswith("module ") or not top or not last:
        return FailureClass.OTHER  # a module object cannot be in a file; above the root
    if not library.has(top):
        return FailureClass.PACKAGE
    if library.has(name):
        return FailureClass.GENERATION  # there is such a module
    module = library.module(parent)
    if module is None and parent in {broken.file.module for broken in library.broken()}:
        return FailureClass.OTHER
    plain = module is not None and not module.file.package
    return FailureClass.UNDEFINED if plain else FailureClass.COMPILED


_Placed = tuple[Span | None, Decision]
"""A decision without its place, and the use that it is about; None for a whole statement."""


def _placed(
    statement: Statement, decision: Decision, span: Span | None = None, needed_by: str = ""
) -> Decision:
    """Return a decision with the place of a statement, or of a span in it."""
    module = statement.module
    return replace(
        decision,
        source=module.source.name,
        file=module.file.path,
        module=module.name,
        line=module.text.line(span.start) if span else statement.node.lineno,
        needed_by=needed_by,
    )


def _label(statement: Statement) -> str:
    """Return the name of what a statement binds or changes, with its module's."""
    names = [binding.name for binding in statement.bindings] or sorted(statement.changes)
    return LocalName(statement.module.name, names[0]).dotted if names else statement.module.name


def _definitions(
    resolver: NameResolver, closure: Closure, names: AssignedNames
) -> Iterator[Decision]:
    for local, needed_by in closure.names.items():
        for statement in resolver.providers(local)[:1]:
            label = _label(needed_by) if needed_by else ""
            others = ", ".join(resolver.library.owners(local.module)[:-1])
            detail = f"the module is in {others}, too" if others else ""
            failure = FailureClass.AMBIGUOUS if others else None
            made = Decision(DecisionKind.DEFINITION, local.dotted, detail=detail, failure=failure)
            yield _placed(statement, made, needed_by=label)
            if (name := names.given.get(local, local.name)) != local.name:
                renamed = Decision(DecisionKind.RENAME, local.dotted, detail=name)
                yield _placed(statement, renamed, needed_by=label)


def _statements(resolver: NameResolver, closure: Closure) -> Iterator[Decision]:
    """Yield the statements that bind nothing but change an object of the file."""
    for statement in closure.statements.values():
        module = statement.module.name
        if any(LocalName(module, b.name) in closure.names for b in statement.bindings):
            continue
        changed = (resolver.library.resolve(module, name) for name in sorted(statement.changes))
        for local in (c for c in changed if isinstance(c, LocalName) and c in closure.names):
            # Modules that the class does not need may change the object, too.
            failure = FailureClass.AMBIGUOUS if local.module != module else None
            made = Decision(DecisionKind.STATEMENT, local.dotted, failure=failure)
            yield _placed(statement, made, needed_by=local.dotted)
            break


def _uses(
    resolver: NameResolver,
    closure: Closure,
    names: AssignedNames,
    checked: StaticCheck,
    link: ResolvedUse,
) -> Iterator[_Placed]:
    use, meaning = link.use, link.meaning
    thing = item_of(link, closure)
    if isinstance(thing, Imported):
        dotted = ExternalName(thing.module, thing.attribute).dotted
        yield use.span, Decision(DecisionKind.IMPORT, dotted)
        if (name := names.given[thing]) != thing.name:
            yield use.span, Decision(DecisionKind.RENAME, dotted, detail=name)
    elif is_lazy(link):
        yield from _missing(resolver.library, DecisionKind.IN_FUNCTION, link.blockers, use.span)
    elif not use.store and _unbound(resolver, meaning):
        failure = FailureClass.UNDEFINED if use.name in checked.undefined else None
        yield use.span, Decision(DecisionKind.UNRESOLVED, use.name, failure=failure)
    if isinstance(meaning, ExternalName):
        dotted = ".".join([meaning.dotted, *(name for name, _ in use.chain[link.depth :])])
        for operator in checked.beyond.compiled:
            if f"{dotted}.".startswith(f"{operator}."):
                yield use.span, Decision(DecisionKind.OPERATOR, operator, failure=_COMPILED)


def _imports(
    resolver: NameResolver, closure: Closure, statement: Statement, one: ResolvedImport
) -> Iterator[_Placed]:
    """Yield an import inside a statement that stays an import."""
    meaning, span = one.meaning, one.inner.span
    dropped = (
        statement.is_import and LocalName(statement.module.name, one.name) not in closure.names
    )
    if not one.kept or dropped:
        return
    kind = DecisionKind.UNDER_GUARD if one.inner.top else DecisionKind.IN_FUNCTION
    kind = DecisionKind.IMPORT if statement.is_import else kind
    if isinstance(meaning, ExternalName) and meaning.allowed:
        yield span, Decision(kind, meaning.dotted)
    else:
        yield from _missing(resolver.library, kind, resolver.missing(meaning), span)


def _missing(
    library: Library, kind: DecisionKind, blockers: Iterable[str], span: Span | None
) -> Iterator[_Placed]:
    for name in sorted(blockers):
        yield span, Decision(kind, name, failure=failure_class(library, name))


def _unbound(resolver: NameResolver, meaning: Meaning) -> bool:
    """Return True for a name that nothing binds, or only for type checkers."""
    if isinstance(meaning, LocalName):
        return not resolver.providers(meaning)
    return isinstance(meaning, UnknownName)


def _faults(checked: StaticCheck, found: Container[tuple[DecisionKind, str]]) -> Iterator[Decision]:
    """Yield what a check of the file found that no use explains."""
    reasons = {
        **dict.fromkeys(checked.imported, "imported at the top"),
        **{
            name: "not bound in the file"
            for name in checked.undefined
            if (DecisionKind.UNRESOLVED, name) not in found
        },
    }
    if checked.syntax:
        reasons["<file>"] = checked.syntax
    if checked.missing:
        reasons[checked.missing] = "not defined in the file"
    for name, reason in reasons.items():
        failure = FailureClass.GENERATION
        yield Decision(DecisionKind.FAULT, name, detail=reason, failure=failure)
    for operator in checked.beyond.compiled:
        if (DecisionKind.OPERATOR, operator) not in found:
            yield Decision(DecisionKind.OPERATOR, operator, failure=_COMPILED)


def _blocked_at(
    resolver: NameResolver, target: LocalName, blocker: str
) -> tuple[Statement, Span | None]:
    """Return the statement, and the use in it, for which a name is missing at import time."""
    waiting, seen = deque([target]), {target}
    statement = resolver.providers(target)[0]
    while waiting:
        for statement in resolver.providers(waiting.popleft()):
            for link in resolver.resolve(statement).uses:
                if blocker not in link.blockers or link.use.when is not UseTime.IMPORT:
                    continue
                if not isinstance(link.meaning, LocalName):
                    return statement, link.use.span
                if link.meaning not in seen:
                    seen.add(link.meaning)
                    waiting.append(link.meaning)
    return statement, None  # it imports or loads the name itself
