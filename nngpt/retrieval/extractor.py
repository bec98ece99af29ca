"""Extraction of one class by its name: `package:module.Class`, `module.Class` or `Class`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from nngpt.errors import UserError, nearest
from nngpt.retrieval.closure import close, lazily_imported
from nngpt.retrieval.file_text import emit
from nngpt.retrieval.library import Library, Local
from nngpt.retrieval.name_assignment import give_names
from nngpt.retrieval.name_resolution import Linker
from nngpt.retrieval.refusals import ExtractionRefused
from nngpt.retrieval.sources import Source
from nngpt.retrieval.statement_order import ordered

_SOME = 6
"""Places that are named in a message."""


@dataclass(frozen=True)
class Extraction:
    """A class in a file of its own.

    Attributes:
        target: `package:module.Class`.
        name: the class.
        code: the file.
        source: where the class comes from.
        sha256: of the original's file.
        inlined: the dotted names of all that is in the file.
        lazily: what functions import when they run, that torch does not bring.
        licences: of all sources in the file, sorted.
    """

    target: str
    name: str
    code: str
    source: Source
    sha256: str
    inlined: tuple[str, ...]
    lazily: tuple[str, ...]
    licences: tuple[str, ...]


class Extractor:
    """Extracts classes from sources; each module is parsed and each name looked up once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._linker = Linker(library)

    def extract(self, target: str) -> Extraction:
        """One class and all it needs, as a file that imports torch and the standard library.

        Raises:
            ExtractionRefused: it needs something else as soon as it is imported.
            UserError: there is no such class, or several.
        """
        local = self.find(target)
        if blockers := self._linker.blockers(local):
            raise ExtractionRefused(target, list(blockers))
        closure = close(self._linker, local)
        order = ordered(self._linker, closure)
        names = give_names(self._linker, closure, order)
        module = self.library.module(local.module)
        assert module is not None
        return Extraction(
            target=f"{module.source.name}:{local.module}.{local.name}",
            name=local.name,
            code=emit(self._linker, local, closure, order, names),
            source=module.source,
            sha256=module.sha256,
            inlined=tuple(f"{n.module}.{n.name}" for n in names.given if isinstance(n, Local)),
            lazily=tuple(lazily_imported(self._linker, closure)),
            licences=tuple(sorted({m.source.licence for m in closure.modules()})),
        )

    def find(self, target: str) -> Local:
        """The class or function behind a name; a re-export leads to its definition.

        Raises:
            UserError: there is none (the nearest names are said), or several.
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
                found = self.library.meaning(module, name, outside=True)
                if isinstance(found, Local):
                    return found
        self._broken(module)
        known = [f"{m}.{c}" for source in sources for m, c in self._classes(source)]
        raise UserError("there is no such class", where=target, hint=_nearest(dotted, known))

    def _unique(self, sources: list[Source], name: str, target: str) -> Local:
        places = [(m, c) for source in sources for m, c in self._classes(source)]
        found = [Local(module, known) for module, known in places if known == name]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(f"{f.module}.{f.name}" for f in found[:_SOME])
            more = f" and {len(found) - _SOME} more" if len(found) > _SOME else ""
            hint = f"Say which: {some}{more}"
            raise UserError(f"is defined in {len(found)} modules", where=target, hint=hint)
        hint = _nearest(name, [f"{module}.{known}" for module, known in places])
        raise UserError("there is no such class", where=target, hint=hint)

    def _classes(self, source: Source) -> Iterator[tuple[str, str]]:
        for module in self.library.modules(source):
            yield from ((module.name, name) for name in module.classes())

    def _broken(self, module: str) -> None:
        for broken in self.library.broken():
            if broken.file.module == module:
                raise UserError(broken.reason, where=broken.file.path)


def _nearest(name: str, known: list[str]) -> str:
    """Up to three known names whose last part is nearest, the whole of each."""
    last = name.rsplit(".", 1)[-1]
    by_name: dict[str, str] = {}
    for dotted in sorted(known, reverse=True):
        by_name[dotted.rsplit(".", 1)[-1]] = dotted
    close = difflib.get_close_matches(last, by_name, n=3, cutoff=0.6)
    return f"Nearest: {', '.join(by_name[one] for one in close)}" if close else ""
