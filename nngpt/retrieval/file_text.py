"""Render an extracted file: a header with its origins, imports, then the definitions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from nngpt.retrieval.closure import Closure, lazy_imports
from nngpt.retrieval.library import LocalName
from nngpt.retrieval.modules import Module, Statement
from nngpt.retrieval.name_assignment import AssignedNames, Imported
from nngpt.retrieval.name_resolution import NameResolver
from nngpt.retrieval.statement_rewriter import Rewriter
from nngpt.retrieval.static_check import beyond_torch

_WIDTH = 100
_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def render_file(
    resolver: NameResolver,
    target: LocalName,
    closure: Closure,
    order: Sequence[Statement],
    names: AssignedNames,
) -> str:
    """Return the text of the extracted file, which is the same for the same sources."""
    # The other features of `__future__` are part of Python by now.
    postponed = any("annotations" in module.future for module in closure.modules())
    rewriter = Rewriter(resolver, closure, names, postponed)
    body = _body(rewriter, order)
    imports = [
        "from __future__ import annotations" if postponed else "",
        "\n".join(import_lines(names)),
    ]
    code = "\n\n".join(part for part in imports if part) + "\n" + body
    head = header(resolver, target, closure, order, names)
    head += _beyond_torch(code, lazy_imports(resolver, closure))
    return "\n".join(f"# {line}".rstrip() for line in head) + "\n\n" + code


def header(
    resolver: NameResolver,
    target: LocalName,
    closure: Closure,
    order: Sequence[Statement],
    names: AssignedNames,
) -> list[str]:
    """Return the extracted file's header lines: origin, licence, contents, renamings."""
    first = resolver.library.module(target.module)
    assert first is not None
    source = first.source
    lines = [
        f"{target.name}, extracted by nngpt from {source.name} {source.version}".rstrip(),
        f"Source: {source.name}:{target.dotted}",
        f"Licence: {source.licence}",
        f"SHA-256 of {first.file.path}: {first.sha256}",
    ]
    lines += _inlined(closure, order, first)
    if renamed := names.renamed():
        lines.append("Renamed, for two had one name:")
        lines += [f"  {local.dotted} -> {name}" for local, name in renamed.items()]
    if lazily := lazy_imports(resolver, closure):
        lines.append("Imported only where a function needs it (not part of torch):")
        lines += [f"  {name}" for name in lazily]
    return lines


def _beyond_torch(code: str, lazily: Sequence[str]) -> Iterable[str]:
    """Yield the extracted file's header lines on what torch does not bring."""
    try:
        beyond = beyond_torch(code)
    except (SyntaxError, ValueError, RecursionError):  # the check of the file says it
        return
    known = {name.split(".")[0] for name in lazily}
    if guarded := [name for name in beyond.guarded if name.split(".")[0] not in known]:
        yield "Imported under a guard, if it is installed (not part of torch):"
        yield from (f"  {name}" for name in guarded)
    if beyond.compiled:
        yield "Needs operators that the library compiles. Without them it fails at the call, or"
        yield "takes another way where it tests for them:"
        yield from (f"  {name}" for name in beyond.compiled)


def _inlined(closure: Closure, order: Sequence[Statement], first: Module) -> Iterable[str]:
    yield "Inlined:"
    for module in sorted(closure.modules(), key=lambda m: (m is not first, m.name)):
        bound = (b.name for s in order if s.module is module for b in s.bindings)
        names = [n for n in dict.fromkeys(bound) if LocalName(module.name, n) in closure.names]
        source = module.source
        origin = f" ({source.name} {source.version}, {source.licence})"
        origin = "" if source is first.source else origin
        yield f"  {module.name}{origin}: {', '.join(names)}"


def import_lines(names: AssignedNames) -> list[str]:
    """Return the extracted file's `import …` lines, then `from … import …`, each group sorted."""
    plain = {f"import {name}" for name in names.submodules}
    members: dict[str, set[str]] = {}
    for thing, name in names.given.items():
        if isinstance(thing, Imported) and thing.attribute:
            member = thing.attribute if thing.attribute == name else f"{thing.attribute} as {name}"
            members.setdefault(thing.module, set()).add(member)
        elif isinstance(thing, Imported):
            plain.add(f"import {thing.module}" + ("" if thing.module == name else f" as {name}"))
    # `import a.b` binds `a` as well.
    deeper = [line for line in plain if " as " not in line]
    lines = sorted(p for p in plain if not any(o.startswith(p + ".") for o in deeper))
    for module, taken in sorted(members.items()):
        line = f"from {module} import {', '.join(sorted(taken))}"
        if len(line) > _WIDTH:
            inner = "".join(f"    {member},\n" for member in sorted(taken))
            line = f"from {module} import (\n{inner})"
        lines.append(line)
    return lines


def _body(rewriter: Rewriter, order: Sequence[Statement]) -> str:
    parts: list[str] = []
    before: Statement | None = None
    for statement in order:
        text = rewriter.write(statement)
        if not text or text == "pass":
            continue
        if before is None or before.module is not statement.module:
            parts.append(f"\n\n# --- {statement.module.name}\n")
            before = None
        spaced = before and any(isinstance(s.node, _BLOCKS) for s in (before, statement))
        parts.append(f"\n\n{text}" if spaced else text)
        before = statement
    return "\n".join(parts) + "\n"
