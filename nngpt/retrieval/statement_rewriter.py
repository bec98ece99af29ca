"""Write the statements of the file: the original text with names and imports replaced."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nngpt.retrieval.closure import Closure
from nngpt.retrieval.library import ExternalName, InternalModule, LocalName
from nngpt.retrieval.modules import Module, Statement
from nngpt.retrieval.name_assignment import LAZY, AssignedNames, is_lazy, item_of
from nngpt.retrieval.name_resolution import NameResolver, ResolvedImport, ResolvedUse
from nngpt.retrieval.name_uses import UseTime
from nngpt.retrieval.scope import Import
from nngpt.retrieval.source_text import Edit, Span


@dataclass(frozen=True)
class Rewriter:
    """Write a closure's statements; `postponed` if the file has postponed annotations."""

    resolver: NameResolver
    closure: Closure
    names: AssignedNames
    postponed: bool

    def write(self, statement: Statement) -> str:
        """Return the rewritten text of a statement with the comments directly above it."""
        edits = [*self._uses(statement), *self._imports(statement)]
        text = statement.module.text
        start = _with_comments(text.raw, statement.span.start)
        end = _with_trailing_comment(text.raw, statement.span.end)
        return text.edited(Span(start, end), edits)

    def _uses(self, statement: Statement) -> Iterator[Edit]:
        links = self.resolver.resolve(statement).uses
        quoted = {link.use.whole for link in links if self._unevaluable(link)}
        for span in sorted(s for s in quoted if s is not None):
            yield Edit(*span, _quoted(statement.module.text.raw[span.start : span.end].decode()))
        for link in links:
            if link.use.when is UseTime.ANNOTATION and link.use.whole in quoted:
                continue
            new = self._replacement(statement, link)
            if new is not None and link.use.span is not None:
                yield Edit(link.use.span.start, link.end, new)
            elif new is not None and link.use.whole is not None:
                yield from _in_fstring(statement.module, link, link.use.whole, new)

    def _unevaluable(self, link: ResolvedUse) -> bool:
        """Return True if an annotation uses a name that the file does not define."""
        if self.postponed or link.use.when is not UseTime.ANNOTATION or link.use.binding:
            return False
        imported = isinstance(link.meaning, (LocalName, ExternalName, InternalModule))
        return imported and item_of(link, self.closure) is None

    def _replacement(self, statement: Statement, link: ResolvedUse) -> str | None:
        """Return the text that replaces a use in the file, or None to keep it."""
        thing = item_of(link, self.closure)
        if thing is not None:
            imports = self.resolver.resolve(statement).imports
            followed = {one.name for one in imports if one.followed and not one.kept}
            if link.use.binding and link.use.binding.name not in followed:
                return None  # the import inside the function stays, and binds the name
            name = self.names.given[thing]
            return name if link.depth or name != link.use.name else None
        return self._lazy(statement, link) if is_lazy(link) else None

    def _lazy(self, statement: Statement, link: ResolvedUse) -> str:
        meaning = link.meaning
        assert isinstance(meaning, (LocalName, InternalModule, ExternalName))
        quote = "'" if b'"' in _fstring_opening(statement.module, link.use.whole) else '"'
        lazy = f"{self.names.given[LAZY]}.import_module({quote}{meaning.module}{quote})"
        attribute = meaning.name if isinstance(meaning, LocalName) else ""
        attribute = meaning.attribute if isinstance(meaning, ExternalName) else attribute
        return f"{lazy}.{attribute}" if attribute else lazy

    def _imports(self, statement: Statement) -> Iterator[Edit]:
        by_statement: dict[int, list[ResolvedImport]] = {}
        for one in self.resolver.resolve(statement).imports:
            by_statement.setdefault(id(one.inner.statement), []).append(one)
        for links in by_statement.values():
            inner = links[0].inner
            absolute = not getattr(inner.statement, "level", 0)
            renamed = any(self._bound(statement, one) != one.name for one in links)
            if absolute and all(one.kept for one in links) and not statement.is_import | renamed:
                continue
            lines = [line for one in links if (line := self._import_line(statement, one))]
            yield Edit(*inner.span, "; ".join(lines) or "pass")

    def _bound(self, statement: Statement, one: ResolvedImport) -> str:
        """Return the name that an import binds in the file."""
        if not one.inner.top:
            return one.name
        return self.names.given.get(LocalName(statement.module.name, one.name), one.name)

    def _import_line(self, statement: Statement, one: ResolvedImport) -> str:
        local = LocalName(statement.module.name, one.name)
        if statement.is_import and local not in self.closure.names:
            return ""
        bound = self._bound(statement, one)
        if one.kept:
            return _absolute(statement.module, one.inner.statement, one.alias, bound)
        if isinstance(one.meaning, LocalName) and not one.followed:
            name = self.names.given[one.meaning]
            return f"{bound} = {name}" if bound != name else ""
        return ""


def _in_fstring(module: Module, link: ResolvedUse, whole: Span, new: str) -> Iterator[Edit]:
    """Yield edits of a name in an f-string, which has no exact place before Python 3.12."""
    old = ".".join([link.use.name, *(a for a, _ in link.use.chain[: link.depth])])
    raw = module.text.raw[whole.start : whole.end]
    pattern = rb"(?<![\w.])" + re.escape(old.encode()) + rb"(?!\w)"
    for found in re.finditer(pattern, raw):
        before = raw[: found.start()].replace(b"{{", b"")
        if before.count(b"{") > before.replace(b"}}", b"").count(b"}"):
            yield Edit(whole.start + found.start(), whole.start + found.end(), new)


def _absolute(module: Module, statement: Import, alias: ast.alias, bound: str) -> str:
    if isinstance(statement, ast.Import):
        plain = alias.asname is None and bound == alias.name.split(".")[0]
        return f"import {alias.name}" if plain else f"import {alias.name} as {bound}"
    origin = module.absolute(statement) or statement.module or ""
    text = f"from {origin} import {alias.name}"
    return text if bound == alias.name else f"{text} as {bound}"


def _quoted(annotation: str) -> str:
    flat = re.sub(r"\s*\n\s*", " ", re.sub(r"#.*", "", annotation)).strip()
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _fstring_opening(module: Module, whole: Span | None) -> bytes:
    """Return the opening quotes of an f-string."""
    if whole is None:
        return b""
    found = re.compile(rb"\w*(['\"]+)").match(module.text.raw, whole.start)
    return found[1][:3] if found else b""


def _with_comments(raw: bytes, start: int) -> int:
    """Return the offset at which the comment lines directly above a statement start."""
    line = raw.rfind(b"\n", 0, start) + 1
    if raw[line:start].strip():
        return start
    while line:
        above = raw.rfind(b"\n", 0, line - 1) + 1
        if not raw[above:line].startswith(b"#"):
            break
        line = above
    return line


def _with_trailing_comment(raw: bytes, end: int) -> int:
    """Return the end of the statement's line if only a comment follows."""
    stop = raw.find(b"\n", end)
    stop = len(raw) if stop < 0 else stop
    return stop if raw[end:stop].lstrip().startswith(b"#") else end
