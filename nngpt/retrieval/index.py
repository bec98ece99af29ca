"""The index: whole sources in the database, file by file, and the classes in them.

A source that was indexed before is compared by the hash of each file; only what changed is parsed.
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
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from nngpt.errors import UserError, nearest
from nngpt.retrieval.modules import Broken, Module, parse
from nngpt.retrieval.scope import Binding
from nngpt.retrieval.search_words import words_of, words_of_class
from nngpt.retrieval.sources import File, Source
from nngpt.store.block_tables import BlockClass, BlockFile, BlockSource
from nngpt.store.database import Database
from nngpt.store.states import now

_MOST_WORDS = 400
_NODES = 2_000_000
"""New objects between two collections: some hundred MB."""


@dataclass(frozen=True)
class Indexed:
    """What indexing a source changed.

    Attributes:
        files: Python files of the source.
        new, changed, removed: of these, compared with what was there.
        classes: module-level classes of all files.
        broken: why files cannot be read or parsed, by path.
    """

    source: Source
    files: int
    new: int
    changed: int
    removed: int
    classes: int
    broken: dict[str, str]


@dataclass(frozen=True)
class _Read:
    """A file as it is now; `classes` is None if it is the one that is in the index."""

    file: File
    sha256: str
    content: bytes
    broken: str | None
    classes: tuple[BlockClass, ...] | None


def add(database: Database, source: Source, place: str) -> Indexed:
    """Index a source, or bring its index up to date, in one transaction.

    Args:
        place: what the user called it: a path or a package.

    Raises:
        StoreError: the database cannot be written.
    """
    before = _hashes(database, source.name)
    with _collecting_seldom():
        read = {file.module: _read(source, file, before) for file in source.files.values()}
    with database.write() as session:
        row = _source(session, source, place)
        rows = {
            file.module: file
            for file in session.scalars(select(BlockFile).where(BlockFile.source_id == row.id))
        }
        gone = [rows[module] for module in rows.keys() - read.keys()]
        stale = [rows[m] for m, now_ in read.items() if m in rows and now_.classes is not None]
        _remove(session, [*gone, *stale])
        _write(session, row, [found for found in read.values() if found.classes is not None])
        broken = {
            path: reason or ""
            for path, reason in session.execute(
                select(BlockFile.path, BlockFile.broken).where(
                    BlockFile.source_id == row.id, BlockFile.broken.is_not(None)
                )
            )
        }
        classes = _count(session, row)
    new = len(read.keys() - rows.keys())
    return Indexed(source, len(read), new, len(stale), len(gone), classes, broken)


def remove(database: Database, name: str) -> None:
    """Take a source out of the index. Raises: UserError if it is not there."""
    with database.write() as session:
        row = session.scalar(select(BlockSource).where(BlockSource.name == name))
        if row is None:
            known = session.scalars(select(BlockSource.name)).all()
            raise UserError("is not indexed", where=name, hint=nearest(name, known))
        _remove(
            session,
            session.scalars(select(BlockFile).where(BlockFile.source_id == row.id)).all(),
        )
        session.delete(row)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Python's collector of cycles walks syntax trees again and again: half of the time."""
    before = gc.get_threshold()
    gc.set_threshold(_NODES, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _hashes(database: Database, name: str) -> dict[str, str]:
    """The hash of each indexed file of a source, by module."""
    with database.read() as session:
        rows = session.execute(
            select(BlockFile.module, BlockFile.sha256, BlockFile.path)
            .join(BlockSource)
            .where(BlockSource.name == name)
        )
        return {f"{module} {path}": sha256 for module, sha256, path in rows}


def _read(source: Source, file: File, before: dict[str, str]) -> _Read:
    try:
        raw = file.read()
    except OSError as error:
        return _Read(file, "", b"", f"cannot be read ({error.strerror})", ())
    sha256 = hashlib.sha256(raw).hexdigest()
    if before.get(f"{file.module} {file.path}") == sha256:
        return _Read(file, sha256, b"", None, None)
    kept = File(file.module, file.path, file.package, lambda: raw)
    module = parse(source, kept)
    content = zlib.compress(raw)
    if isinstance(module, Broken):
        return _Read(file, sha256, content, module.reason, ())
    return _Read(file, sha256, content, None, tuple(_classes(module)))


def _source(session: Session, source: Source, place: str) -> BlockSource:
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


def _write(session: Session, source: BlockSource, read: Sequence[_Read]) -> None:
    files = [
        BlockFile(
            source_id=source.id,
            module=found.file.module,
            path=found.file.path,
            package=found.file.package,
            sha256=found.sha256,
            content=found.content,
            broken=found.broken,
        )
        for found in read
    ]
    session.add_all(files)
    session.flush()
    for file, found in zip(files, read, strict=True):
        for one in found.classes or ():
            one.file_id = file.id
            session.add(one)


def _count(session: Session, source: BlockSource) -> int:
    ids = select(BlockFile.id).where(BlockFile.source_id == source.id)
    return len(session.scalars(select(BlockClass.id).where(BlockClass.file_id.in_(ids))).all())


def _classes(module: Module) -> Iterator[BlockClass]:
    """A row for each module-level class; of several with one name the first."""
    where = " ".join(words_of(module.name.rpartition(".")[2]))
    for name in module.classes():
        node = next(b.node for _, b in module.bindings[name] if isinstance(b.node, ast.ClassDef))
        doc = (ast.get_docstring(node) or "").split("\n\n")[0]
        span = module.text.span(node)
        text = module.text.raw[span.start : span.end].decode("utf-8", "replace")
        words = Counter(words_of_class(name, text))
        kept = [word for word, count in words.most_common(_MOST_WORDS) for _ in range(count)]
        yield BlockClass(
            name=name,
            line=node.lineno,
            bases=json.dumps([_dotted(module, base) for base in node.bases]),
            doc=" ".join(doc.split())[:500],
            words=" ".join([*kept, where]),
        )


def _dotted(module: Module, base: ast.expr) -> str:
    """A base as a dotted name, its first part replaced by what the file imports it from."""
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
