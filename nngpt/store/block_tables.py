"""Tables of the block index (`nngpt rag`): libraries, their Python files and their classes."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from nngpt.store.tables import Base


class BlockSource(Base):
    """An indexed library of blocks; `place` is the path or package name that the user gave."""

    __tablename__ = "nngpt_block_source"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str]
    licence: Mapped[str]
    kind: Mapped[str]
    place: Mapped[str]
    indexed: Mapped[str]


class BlockFile(Base):
    """A Python file of an indexed library.

    Attributes:
        content: the whole file, zlib-compressed; blocks are extracted from it, so they stay the
            same when the library is upgraded or removed.
        sha256: hash of the uncompressed file.
        broken: why the file cannot be read or parsed, or None.
    """

    __tablename__ = "nngpt_block_file"
    __table_args__ = (UniqueConstraint("source_id", "module"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("nngpt_block_source.id"))
    module: Mapped[str]
    path: Mapped[str]
    package: Mapped[bool]
    sha256: Mapped[str]
    content: Mapped[bytes]
    broken: Mapped[str | None]


class BlockClass(Base):
    """A module-level class of an indexed library.

    Attributes:
        bases: dotted names of the base classes, resolved by the file's imports, as JSON.
        doc: first paragraph of the docstring.
        words: search words, separated by spaces.
    """

    __tablename__ = "nngpt_block_class"
    __table_args__ = (UniqueConstraint("file_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    file_id: Mapped[int] = mapped_column(ForeignKey("nngpt_block_file.id"))
    name: Mapped[str]
    line: Mapped[int]
    bases: Mapped[str]
    doc: Mapped[str]
    words: Mapped[str]
