"""Reading the index: its sources as a library, its blocks, and which of its classes are blocks."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import select

from nngpt.errors import UserError
from nngpt.retrieval.sources import File, Source
from nngpt.store.block_tables import BlockClass, BlockFile, BlockSource
from nngpt.store.database import Database

COPYLEFT = ("GPL", "AGPL", "LGPL", "MPL", "EUPL", "CC-BY-SA", "OSL", "EPL", "CDDL")
"""Beginnings of SPDX names of licences that what is made from a block would inherit."""

_ROOTS = frozenset({"torch.nn.Module", "torch.nn.modules.module.Module"})


@dataclass(frozen=True)
class Block:
    """A class in the index that is an `nn.Module`.

    Attributes:
        source, version, licence: where it comes from.
        module, name: its dotted place; `target` has both.
        path, line: its place in the source.
        sha256: of its file.
        doc: first paragraph of its docstring.
        words: what it is searched by.
    """

    source: str
    version: str
    licence: str
    module: str
    name: str
    path: str
    line: int
    sha256: str
    doc: str
    words: str = field(repr=False)

    @property
    def target(self) -> str:
        """`source:module.Class`."""
        return f"{self.source}:{self.module}.{self.name}"

    @property
    def copyleft(self) -> bool:
        """True if its licence is, or may be: one that nobody stated counts as copyleft."""
        return is_copyleft(self.licence)


def is_copyleft(licence: str) -> bool:
    """True for a copyleft licence, and for one that nobody stated."""
    choices = licence.replace("(", " ").replace(")", " ").split(" OR ")
    return all(any(_inherits(name) for name in choice.split(" AND ")) for choice in choices)


def sources(database: Database) -> list[Source]:
    """All indexed sources, by name; a file's text is read when it is asked for.

    Raises:
        UserError: nothing is indexed.
    """
    with database.read() as session:
        rows = session.scalars(select(BlockSource).order_by(BlockSource.name)).all()
        found = []
        for row in rows:
            listed = session.execute(
                select(BlockFile.id, BlockFile.module, BlockFile.path, BlockFile.package)
                .where(BlockFile.source_id == row.id)
                .order_by(BlockFile.module)
            )
            files = {
                module: File(module, path, package, partial(_content, database, number))
                for number, module, path, package in listed
            }
            found.append(Source(row.name, row.version, row.licence, row.kind, files))
    if not found:
        raise UserError(
            "no block is indexed",
            where=str(database.path),
            hint="Index some: nngpt rag index torch",
        )
    return found


def blocks(database: Database) -> list[Block]:
    """All classes in the index that are an `nn.Module`, by source, module and line."""
    with database.read() as session:
        rows = session.execute(
            select(BlockSource, BlockFile.module, BlockFile.path, BlockFile.sha256, BlockClass)
            .join(BlockFile, BlockFile.source_id == BlockSource.id)
            .join(BlockClass, BlockClass.file_id == BlockFile.id)
            .order_by(BlockSource.name, BlockFile.module, BlockClass.line)
        ).all()
    bases = {f"{module}.{one.name}": json.loads(one.bases) for _, module, _, _, one in rows}
    modules = _modules(bases)
    return [
        Block(
            source.name,
            source.version,
            source.licence,
            module,
            one.name,
            path,
            one.line,
            sha256,
            one.doc,
            one.words,
        )
        for source, module, path, sha256, one in rows
        if f"{module}.{one.name}" in modules
    ]


def _content(database: Database, number: int) -> bytes:
    with database.read() as session:
        content = session.scalar(select(BlockFile.content).where(BlockFile.id == number))
    return zlib.decompress(content) if content else b""


def _modules(bases: dict[str, Sequence[str]]) -> set[str]:
    """The classes that are an `nn.Module`, by following their bases.

    A base that is imported from where it is not defined is found by its last name in the same
    top-level package: what re-exports a class seldom renames it.
    """
    by_name: dict[tuple[str, str], list[str]] = {}
    for dotted in bases:
        by_name.setdefault(_short(dotted), []).append(dotted)
    heirs: dict[str, list[str]] = {}
    found: list[str] = []
    for dotted, own in bases.items():
        if any(_is_layer(base) for base in own):
            found.append(dotted)
        for base in own:
            for known in [base] if base in bases else by_name.get(_short(base), ()):
                heirs.setdefault(known, []).append(dotted)
    seen = set(found)
    while found:
        for heir in heirs.get(found.pop(), ()):
            if heir not in seen:
                seen.add(heir)
                found.append(heir)
    return seen


def _is_layer(base: str) -> bool:
    """Whether a dotted name is `nn.Module` or, by its capital, another class of `torch.nn`."""
    if base in _ROOTS:
        return True
    layer = base.startswith("torch.nn.") and base.count(".") == 2 and base[9].isupper()
    return layer and base not in ("torch.nn.Parameter", "torch.nn.ParameterList")


def _short(dotted: str) -> tuple[str, str]:
    return dotted.partition(".")[0], dotted.rpartition(".")[2]


def _inherits(name: str) -> bool:
    name = name.strip()
    return name in ("", "NOASSERTION") or name.startswith(COPYLEFT)
