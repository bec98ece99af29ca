"""Open and read the block index: its sources, its blocks, and which classes are blocks."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from nngpt.errors import UserError, nearest
from nngpt.files import DATABASE
from nngpt.retrieval.licences import is_copyleft
from nngpt.retrieval.sources import LibrarySource, SourceFile
from nngpt.store.block_tables import BlockClass, BlockFile, BlockSource
from nngpt.store.database import Database, open_database

_ROOTS = frozenset({"torch.nn.Module", "torch.nn.modules.module.Module"})


@dataclass(frozen=True)
class LibraryBlock:
    """An indexed class that is an `nn.Module`.

    Attributes:
        source, version, licence: the library, with its licence as an SPDX expression.
        module, name: dotted name of the module, and name of the class.
        path, line, sha256: file in the source, line number of the class, hash of the file.
        doc: first paragraph of the docstring.
        words: search words, separated by spaces.
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
        """The block's full name, `source:module.Class`."""
        return f"{self.source}:{self.module}.{self.name}"

    @property
    def copyleft(self) -> bool:
        """True if the licence is copyleft or unknown."""
        return is_copyleft(self.licence)


def open_index(folder: Path) -> Database:
    """Open the block index in a folder. Raises: UserError if there is none."""
    path = folder / DATABASE
    if not path.exists():
        hint = "Index some: nngpt rag index torchvision"
        raise UserError("no block is indexed", where=str(path), hint=hint)
    return open_database(path, create=False)


def sources(database: Database) -> list[LibrarySource]:
    """Return all sources of the block index by name, files read on demand. Raises: UserError."""
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
                module: SourceFile(module, path, package, partial(_content, database, number))
                for number, module, path, package in listed
            }
            found.append(LibrarySource(row.name, row.version, row.licence, row.kind, files))
    if not found:
        hint = "Index some: nngpt rag index torch"
        raise UserError("no block is indexed", where=str(database.path), hint=hint)
    return found


def blocks(database: Database) -> list[LibraryBlock]:
    """Return all blocks of the index (`nn.Module` classes), by source, module and line."""
    columns = (
        *(BlockSource.name, BlockSource.version, BlockSource.licence),
        *(BlockFile.module, BlockClass.name, BlockFile.path, BlockClass.line),
        *(BlockFile.sha256, BlockClass.doc, BlockClass.words),
    )
    with database.read() as session:
        rows = session.execute(
            select(*columns, BlockClass.bases)
            .join(BlockFile, BlockFile.source_id == BlockSource.id)
            .join(BlockClass, BlockClass.file_id == BlockFile.id)
            .order_by(BlockSource.name, BlockFile.module, BlockClass.line)
        ).all()
    found = [(LibraryBlock(*fields), json.loads(bases)) for *fields, bases in rows]
    modules = _modules({f"{one.module}.{one.name}": bases for one, bases in found})
    return [one for one, _ in found if f"{one.module}.{one.name}" in modules]


def source_facts(database: Database) -> list[dict[str, Any]]:
    """Return the index's facts of each source: name, version, licence. Raises: UserError."""
    counts = Counter(block.source for block in blocks(database))
    return [
        {
            "source": one.name,
            "version": one.version,
            "licence": one.licence,
            "copyleft": is_copyleft(one.licence),
            "kind": one.kind,
            "files": len(one.files),
            "blocks": counts[one.name],
        }
        for one in sources(database)
    ]


def block_names(database: Database, source: str) -> list[str]:
    """Return the full names of a source's blocks in the index. Raises: UserError."""
    known = [one.name for one in sources(database)]
    if source not in known:
        raise UserError("is not indexed", where=source, hint=nearest(source, known))
    return [block.target for block in blocks(database) if block.source == source]


def _content(database: Database, number: int) -> bytes:
    with database.read() as session:
        content = session.scalar(select(BlockFile.content).where(BlockFile.id == number))
    return zlib.decompress(content) if content else b""


def _modules(bases: dict[str, Sequence[str]]) -> set[str]:
    """Return the names of the classes that are an `nn.Module`, following their bases.

    A base imported from a module that does not define it is found by its last name in the same
    top-level package, because re-exports rarely rename a class.
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
    """Return True for `nn.Module` and for capitalised classes of `torch.nn`."""
    if base in _ROOTS:
        return True
    layer = base.startswith("torch.nn.") and base.count(".") == 2 and base[9].isupper()
    return layer and base not in ("torch.nn.Parameter", "torch.nn.ParameterList")


def _short(dotted: str) -> tuple[str, str]:
    return dotted.partition(".")[0], dotted.rpartition(".")[2]
