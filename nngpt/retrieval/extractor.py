"""Extract one class by its name: `package:module.Class`, `module.Class` or `Class`."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeGuard

from nngpt.errors import UserError, nearest
from nngpt.retrieval.audit import decisions_of, refusals_of
from nngpt.retrieval.block_network import required
from nngpt.retrieval.closure import (
    AmbiguousName,
    ExtractionRefused,
    find_closure,
    lazy_imports,
)
from nngpt.retrieval.decisions import Decision
from nngpt.retrieval.file_text import render_file
from nngpt.retrieval.library import Library, LocalName
from nngpt.retrieval.modules import Module
from nngpt.retrieval.name_assignment import assign_names
from nngpt.retrieval.name_resolution import NameResolver
from nngpt.retrieval.sources import LibrarySource
from nngpt.retrieval.statement_order import order_statements
from nngpt.retrieval.static_check import StaticCheck, check

_SOME = 6
"""Maximum number of modules listed in a message."""


@dataclass(frozen=True)
class Extraction:
    """An extracted class.

    Attributes:
        target: full name, `package:module.Class`.
        sha256: hash of the original file.
        inlined: dotted names of all definitions in the file.
        lazily: dotted names outside torch that functions import when they run.
        checked: what a check of the file found, and what its parts need that torch does not bring.
        arguments: required argument of the constructor → classes of the library that its annotation
            names and the file does not hold; one of them is needed to build the class.
        licences: sorted licences of all sources in the file.
        decisions: what was decided on each import and name, and why some failed.
    """

    target: str
    name: str
    code: str
    source: LibrarySource
    sha256: str
    inlined: tuple[str, ...]
    lazily: tuple[str, ...]
    checked: StaticCheck
    arguments: Mapping[str, tuple[str, ...]]
    licences: tuple[str, ...]
    decisions: tuple[Decision, ...] = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """Return everything about the extracted class but its code, for JSON."""
        return {
            "target": self.target,
            "name": self.name,
            "version": self.source.version,
            "licences": self.licences,
            "sha256": self.sha256,
            "inlined": self.inlined,
            "lazily": self.lazily,
            "arguments": self.arguments,
            **asdict(self.checked.beyond),
        }


class Extractor:
    """Extract classes from a library, parsing each module and resolving each name once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._resolver = NameResolver(library)

    def extract(self, target: str) -> Extraction:
        """Extract a class with everything it needs, importing only torch and the standard library.

        Raises:
            ExtractionRefused: it needs another package when imported, or too many definitions.
            UserError: there is no such class, or there are several.
        """
        local = self.find(target)
        if blockers := self._resolver.blockers(local):
            refusal = _refusal(target, blockers)
            refusal.decisions = tuple(refusals_of(self._resolver, local, refusal.names))
            raise refusal
        closure = find_closure(self._resolver, local)
        order = order_statements(self._resolver, closure)
        names = assign_names(self._resolver, closure, order)
        module = self.library.module(local.module)
        assert module is not None
        code = render_file(self._resolver, local, closure, order, names)
        checked = check(code, local.name)
        inlined = tuple(n.dotted for n in names.given if isinstance(n, LocalName))
        return Extraction(
            target=f"{module.source.name}:{local.dotted}",
            name=local.name,
            code=code,
            source=module.source,
            sha256=module.sha256,
            inlined=inlined,
            lazily=tuple(lazy_imports(self._resolver, closure)),
            checked=checked,
            arguments=dict(self._arguments(module, local.name, inlined)),
            licences=tuple(sorted({m.source.licence for m in closure.modules()})),
            decisions=tuple(decisions_of(self._resolver, closure, order, names, checked)),
        )

    def needs(self, target: str) -> str:
        """Return what a class needs beyond torch, "" for nothing; found by extracting it."""
        try:
            found = self.extract(target)
        except ExtractionRefused as refused:
            return f"cannot be extracted: {refused.what}"
        lazily, beyond = [name.split(".")[0] for name in found.lazily], found.checked.beyond
        packages = sorted({*lazily, *(name.split(".")[0] for name in beyond.guarded)} - {""})
        parts = [f"compiled {', '.join(beyond.compiled)}"] if beyond.compiled else []
        parts += [f"in parts {', '.join(packages)}"] if packages else []
        return "; ".join(parts)

    def find(self, target: str) -> LocalName:
        """Return the class or function with this name; follow re-exports to the definition.

        Raises: UserError if there is none (it suggests the nearest names), or there are several.
        """
        package, _, dotted = target.rpartition(":")
        sources = [s for s in self.library.sources if not package or s.name == package]
        if not sources:
            known = [s.name for s in self.library.sources]
            raise UserError("is not indexed", where=package, hint=nearest(package, known))
        module, _, name = dotted.rpartition(".")
        if not module:
            return self._unique(sources, name, target)
        for source in sources:
            if module in source.files or self.library.has(module):
                found = self.library.resolve(module, name, outside=True)
                if isinstance(found, LocalName):
                    return found
        for broken in self.library.broken():
            if broken.file.module == module:
                raise UserError(broken.reason, where=broken.file.path)
        known = [place.dotted for place in self._classes(sources)]
        raise UserError("no such class", where=target, hint=_nearest(dotted, known))

    def original(self, target: str) -> dict[str, Any]:
        """Return origin and unchanged code of a class or function, for JSON. Raises: UserError."""
        local = self.find(target)
        module = self.library.module(local.module)
        assert module is not None, "find parsed it"
        statements = dict.fromkeys(statement for statement, _ in module.bindings[local.name])
        texts = (module.text.raw[slice(*s.span)].decode("utf-8", "replace") for s in statements)
        return {
            "target": f"{module.source.name}:{local.dotted}",
            "version": module.source.version,
            "licence": module.source.licence,
            "file": module.file.path,
            "sha256": module.sha256,
            "code": "\n\n".join(texts),
        }

    def _arguments(
        self, module: Module, name: str, inlined: Sequence[str]
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield required arguments of a class with the classes that they take, if not inlined."""
        nodes = (b.node for _, b in module.bindings[name] if isinstance(b.node, ast.ClassDef))
        functions = (item for node in nodes for item in node.body if _is_constructor(item))
        for parameter in (p for function in functions for p in required(function)):
            if parameter is not None and parameter.annotation is not None:
                found = (self.library.resolve(module.name, n) for n in _names(parameter.annotation))
                classes = [
                    f.dotted for f in found if isinstance(f, LocalName) and self._is_class(f)
                ]
                if missing := tuple(one for one in classes if one not in inlined):
                    yield parameter.arg, missing

    def _is_class(self, local: LocalName) -> bool:
        module = self.library.module(local.module)
        return module is not None and local.name in module.classes()

    def _unique(self, sources: list[LibrarySource], name: str, target: str) -> LocalName:
        places = list(self._classes(sources))
        found = [place for place in places if place.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(one.dotted for one in found[:_SOME])
            more = f" and {len(found) - _SOME} more" if len(found) > _SOME else ""
            hint = f"Choose one: {some}{more}"
            raise AmbiguousName(f"is defined in {len(found)} modules", where=target, hint=hint)
        hint = _nearest(name, [place.dotted for place in places])
        raise UserError("no such class", where=target, hint=hint)

    def _classes(self, sources: Iterable[LibrarySource]) -> Iterator[LocalName]:
        for module in (m for source in sources for m in self.library.modules(source)):
            yield from (LocalName(module.name, name) for name in module.classes())


def _refusal(target: str, blockers: Iterable[str]) -> ExtractionRefused:
    names = sorted(blockers)
    hint = (
        "Only torch and the standard library may be imported. "
        "Index the package that defines the name as a further source"
    )
    what = f"needs {', '.join(names)} when it is imported"
    refusal = ExtractionRefused(what, where=target, hint=hint)
    refusal.names = tuple(names)
    return refusal


def _is_constructor(item: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    return isinstance(item, ast.FunctionDef) and item.name == "__init__"


def _names(annotation: ast.expr) -> list[str]:
    """Return the names in an annotation, which may be a string, in order."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        with suppress(SyntaxError):
            return _names(ast.parse(annotation.value, mode="eval").body)
    return [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]


def _nearest(name: str, known: list[str]) -> str:
    """Return a hint with up to three full names whose last part is most similar."""
    last = name.rsplit(".", 1)[-1]
    by_name = {dotted.rsplit(".", 1)[-1]: dotted for dotted in sorted(known, reverse=True)}
    close = difflib.get_close_matches(last, by_name, n=3, cutoff=0.6)
    return f"Nearest: {', '.join(by_name[one] for one in close)}" if close else ""
