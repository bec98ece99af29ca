"""Download LEMUR's corpus, and import its packages and databases into our mirror of its tables.

Each batch is one transaction of a second or two, so that a run can use the database meanwhile.
Rows that are stored already are not written again, so a repeated import completes a killed one.
"""

from __future__ import annotations

import gc
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from nngpt import downloads, files
from nngpt.errors import DataError
from nngpt.records import canonical_json
from nngpt.store.database import Database
from nngpt.store.lemur.package import NO_PACKAGE, FolderContainer, PackageSource, ZipContainer
from nngpt.store.lemur.records import (
    CodeFile,
    ImportReport,
    ImportSource,
    Item,
    Progress,
    Refused,
    RunFile,
    StatFile,
    TableRows,
)
from nngpt.store.lemur.sqlite_file import SqliteFile
from nngpt.store.lemur.stat_rows import StatWriter
from nngpt.store.lemur.table_writer import CodeWriter, write_runs, write_table
from nngpt.store.lemur_tables import LemurImport
from nngpt.store.states import now

_BATCH = 40_000
_CACHE_KIB = 256 << 10
PACKAGE = downloads.Package("pip", "nn-dataset", "2.1.2")
"""The last version with data; packages from 2.2 on contain only code."""

SHA256 = "1f0b66a4f4de80a27b44a502112d4436eac1f97361ea3aae3266a550f01b07de"
_FILE = "nn_dataset-2.1.2-py3-none-any.whl"


def download_corpus(progress: downloads.Progress = downloads.silent) -> Path:
    """Download LEMUR's verified package into the cache if it is missing; return its path.

    Args:
        progress: called with a line of text for each step.

    Raises: DataError if pip failed, or downloaded another file.
    """
    target = files.cache_folder() / "lemur" / _FILE
    if _intact(target):
        return target
    with files.locked(target.parent / ".lock"):
        if not _intact(target):
            progress(f"LEMUR: {PACKAGE}, 103 MB")
            with files.scratch(target) as folder:
                archive = downloads.download(PACKAGE, folder)
                if not _intact(archive):
                    found = files.digest(archive)
                    what = f"the package has another checksum (sha256 {found[:12]}…)"
                    raise DataError(what, where=str(PACKAGE))
                files.publish(archive, target)
    return target


def _intact(path: Path) -> bool:
    return path.is_file() and files.digest(path) == SHA256


def open_source(path: Path) -> ImportSource:
    """Open what to import: a LEMUR package (folder, wheel, zip) or LEMUR's own database.

    Raises: DataError if the path is missing, is something else, or is damaged as a whole.
    """
    try:
        if path.is_dir():
            return PackageSource(FolderContainer(path))
        if path.exists() and not path.is_file():
            raise DataError("is not a file", where=str(path), hint=NO_PACKAGE)
        with path.open("rb") as file:
            is_sqlite = file.read(16) == b"SQLite format 3\0"
        if is_sqlite:
            return SqliteFile(path)
        if zipfile.is_zipfile(path):
            return PackageSource(ZipContainer(path))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path)) from None
    raise DataError("is neither an archive nor a database", where=str(path), hint=NO_PACKAGE)


def import_source(
    database: Database, source: ImportSource, progress: Progress | None = None, batch: int = _BATCH
) -> ImportReport:
    """Import all items of a LEMUR source; return counts of items read, new and refused.

    Args:
        progress: called after every item.
        batch: size of a transaction, in rows of statistics.

    Raises:
        StoreError: the database cannot be written; finished batches are kept.
        DataError: the source became unreadable; finished batches are kept.
    """
    began = time.monotonic()
    report = ImportReport(source.name, source.sha256, left_alone=dict(source.left_alone))
    with database.write() as session:
        number = _start(session, report)
        codes = CodeWriter(session, report)
    stats = StatWriter(codes.networks, report)
    with _without_collector():
        for items in _batches(source, progress, batch):
            with database.write() as session:
                session.execute(text(f"PRAGMA cache_size = -{_CACHE_KIB}"))
                _write(session, items, codes, stats, report)
    with database.write() as session:
        session.execute(text("ANALYZE"))
        report.seconds = round(time.monotonic() - began, 1)
        values = {"finished": now(), "report": canonical_json(asdict(report))}
        session.execute(update(LemurImport).where(LemurImport.id == number).values(values))
    return report


def finished_import(database: Database, sha256: str) -> str | None:
    """Return when the importer read the LEMUR file with this checksum (ISO 8601), or None."""
    mine = (LemurImport.sha256 == sha256, LemurImport.finished.is_not(None))
    with database.read() as session:
        return session.scalar(select(LemurImport.finished).where(*mine).limit(1))


def imported(session: Session) -> tuple[str, ...]:
    """Return the names of what the importer has read completely, oldest first, each once."""
    rows = select(LemurImport.source, LemurImport.sha256).order_by(LemurImport.id)
    found = session.execute(rows.where(LemurImport.finished.is_not(None)))
    names = (f"{PACKAGE.name} {PACKAGE.version}" if s == SHA256 else Path(n).name for n, s in found)
    return tuple(dict.fromkeys(names))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Suspend Python's cycle collector, which finds nothing and would double the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _start(session: Session, report: ImportReport) -> int:
    row = LemurImport(source=report.source, sha256=report.sha256, started=now(), report="{}")
    session.add(row)
    session.flush()
    return row.id


def _batches(source: ImportSource, progress: Progress | None, size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    weight = 0
    for done, item in enumerate(source.items(), start=1):
        batch.append(item)
        weight += _weight(item)
        if weight >= size:
            yield batch
            batch, weight = [], 0
        if progress:
            progress(done, max(done, source.total))
    yield batch


def _weight(item: Item) -> int:
    """Estimate the time to write an item, in rows of statistics."""
    if isinstance(item, StatFile):
        return 1 + len(item.trials)
    if isinstance(item, CodeFile):
        return 1 + len(item.code) // 500
    return 1 + len(item.rows) if isinstance(item, TableRows) else 5


def _write(
    session: Session, items: list[Item], codes: CodeWriter, stats: StatWriter, report: ImportReport
) -> None:
    codes.write(session, [item for item in items if isinstance(item, CodeFile)])
    for item in items:
        if isinstance(item, Refused):
            report.refused.add(item.path, item.reason)
            codes.networks.mark_broken(item.network)
    stats.write(session, [item for item in items if isinstance(item, StatFile)])
    write_runs(session, [i for i in items if isinstance(i, RunFile)], codes.networks, report)
    for item in items:
        if isinstance(item, TableRows):
            write_table(session, item, codes.networks, report)
