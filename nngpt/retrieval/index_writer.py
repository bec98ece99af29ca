"""Write the block index: add, update and remove sources and their classes, file by file.

For a source that is indexed already, only files with another hash are parsed.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from nngpt.errors import UserError, nearest
from nngpt.retrieval.modules import Module, parse
from nngpt.retrieval.scope import Binding
from nngpt.retrieval.search import class_words, split_words
from nngpt.retrieval.sources import LibrarySource, SourceFile
from nngpt.store.block_tables import BlockClass, BlockFile, BlockSource
from nngpt.store.database import Database
from nngpt.store.states import now

_Rows = tuple[BlockFile, list[BlockClass]]
_MOST_WORDS = 400
_NODES = 2_000_000
"""New objects between two garbage collections: some hundred MB."""


@dataclass(frozen=True)
class IndexReport:
    """Numbers of files and classes of an indexed source, and of the files that changed.

    `broken` maps the path of each file that cannot be read or parsed to the reason.
    """

    source: LibrarySource
    files: int
    new: int
    changed: int
    removed: int
    classes: int
    broken: dict[str, str]

    def facts(self) -> dict[str, Any]:
        """Return the report of indexing for JSON, with the source's name, version and licence."""
        source = self.source
        named = {"source": source.name, "version": source.version, "licence": source.licence}
        return named | {k: v for k, v in vars(self).items() if k != "source"}


def add_source(database: Database, source: LibrarySource, place: str) -> IndexReport:
    """Write a source, which the user gave as `place`, to the block index, or update its entry.

    Raises: StoreError if the database cannot be written.
    """
    before = _hashes(database, source.name)
    with _collecting_seldom():
        read = {file.module: _read(source, file, before) for file in source.files.values()}
    changed = {module: rows for module, rows in read.items() if rows is not None}
    with database.write() as session:
        row = _source(session, source, place)
        rows = {file.module: file for file in session.scalars(_files_of(row))}
        gone = [rows[module] for module in rows.keys() - read.keys()]
        stale = [rows[module] for module in changed if module in rows]
        _remove(session, [*gone, *stale])
        _write(session, row, list(changed.values()))
        unreadable = session.scalars(_files_of(row).where(BlockFile.broken.is_not(None)))
        broken = {file.path: file.broken or "" for file in unreadable}
        ids = _files_of(row).with_only_columns(BlockFile.id)
        count = select(func.count()).where(BlockClass.file_id.in_(ids))
        classes = session.scalar(count) or 0
    new = len(read.keys() - rows.keys())
    return IndexReport(source, len(read), new, len(stale), len(gone), classes, broken)


def remove_source(database: Database, name: str) -> None:
    """Remove a source from the block index. Raises: UserError: it is not indexed."""
    with database.write() as session:
        row = session.scalar(select(BlockSource).where(BlockSource.name == name))
        if row is None:
            known = session.scalars(select(BlockSource.name)).all()
            raise UserError("is not indexed", where=name, hint=nearest(name, known))
        _remove(session, session.scalars(_files_of(row)).all())
        session.delete(row)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Run the garbage collector rarely; on syntax trees it would take half of the time."""
    before = gc.get_threshold()
    gc.set_threshold(_NODES, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _files_of(source: BlockSource) -> Select[BlockFile]:
    return select(BlockFile).where(BlockFile.source_id == source.id)


def _hashes(database: Database, name: str) -> dict[str, str]:
    """Return the hash of each indexed file of a source, by module and path."""
    with database.read() as session:
        rows = session.execute(
            select(BlockFile.module, BlockFile.sha256, BlockFile.path)
            .join(BlockSource)
            .where(BlockSource.name == name)
        )
        return {f"{module} {path}": sha256 for module, sha256, path in rows}


def _read(source: LibrarySource, file: SourceFile, before: dict[str, str]) -> _Rows | None:
    """Return the rows of a file and its classes, or None if the indexed file is unchanged."""
    row = BlockFile(
        module=file.module, path=file.path, package=file.package, sha256="", content=b""
    )
    try:
        raw = file.read()
    except OSError as error:
        row.broken = f"cannot be read ({error.strerror})"
        return row, []
    row.sha256 = hashlib.sha256(raw).hexdigest()
    if before.get(f"{file.module} {file.path}") == row.sha256:
        return None
    row.content = zlib.compress(raw)
    module = parse(source, replace(file, read=lambda: raw))
    if isinstance(module, Module):
        return row, list(_classes(module))
    row.broken = module.reason
    return row, []


def _source(session: Session, source: LibrarySource, place: str) -> BlockSource:
    row = session.scalar(select(BlockSource).where(BlockSource.name == source.name))
    if row is None:
        row = BlockSource(name=source.name)
        session.add(row)
    row.version, row.licence, row.kind = source.version, source.licence, source.kind
    row.place, row.indexed = place, now()
    session.flush()
    return row


def _remove(session: Session, files: Sequence[BlockFile]) -> None:
    numbers = [file.id for file in files]
    for start in range(0, len(numbers), 500):
        part = numbers[start : start + 500]
        session.execute(delete(BlockClass).where(BlockClass.file_id.in_(part)))
        session.execute(delete(BlockFile).where(BlockFile.id.in_(part)))
    session.flush()
    session.expire_all()


def _write(session: Session, source: BlockSource, read: Sequence[_Rows]) -> None:
    for file, _ in read:
        file.source_id = source.id
        session.add(file)
    session.flush()
    for file, classes in read:
        for one in classes:
            one.file_id = file.id
            session.add(one)


def _classes(module: Module) -> Iterator[BlockClass]:
    """Yield a row for each module-level class; of several with one name the first."""
    where = " ".join(split_words(module.name.rpartition(".")[2]))
    for name in module.classes():
        node = next(b.node for _, b in module.bindings[name] if isinstance(b.node, ast.ClassDef))
        doc = (ast.get_docstring(node) or "").split("\n\n")[0]
        span = module.text.span(node)
        text = module.text.raw[span.start : span.end].decode("utf-8", "replace")
        words = Counter(class_words(name, text))
        kept = [word for word, count in words.most_common(_MOST_WORDS) for _ in range(count)]
        yield BlockClass(
            name=name,
            line=node.lineno,
            bases=json.dumps([_dotted(module, base) for base in node.bases]),
            doc=" ".join(doc.split())[:500],
            words=" ".join([*kept, where]),
        )


def _dotted(module: Module, base: ast.expr) -> str:
    """Return a base class as a dotted name, with its first part resolved by the imports."""
    parts: list[str] = []
    while isinstance(base, ast.Attribute):
        parts.append(base.attr)
        base = base.value
    if not isinstance(base, ast.Name):
        return ""
    first = f"{module.name}.{base.id}"
    for _, binding in module.bindings.get(base.id, []):
        first = _imported(module, binding) or first
    return ".".join([first, *reversed(parts)])


def _imported(module: Module, binding: Binding) -> str | None:
    alias, statement = binding.node, binding.statement
    if statement is None or not isinstance(alias, ast.alias):
        return None
    if isinstance(statement, ast.Import):
        return alias.name if alias.asname else alias.name.split(".")[0]
    return f"{module.absolute(statement) or ''}.{alias.name}"
