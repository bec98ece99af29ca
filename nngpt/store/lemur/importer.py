"""Import: a source's items into our mirror of LEMUR's tables, batch by batch.

Each batch is one transaction of a second or two, so that a run of nngpt can use the database
meanwhile. What is there already is not written again: an import that was killed is completed by
the next one.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from nngpt.records import canonical_json
from nngpt.store.database import Database
from nngpt.store.lemur.code_writer import CodeWriter
from nngpt.store.lemur.records import (
    CodeFile,
    ImportReport,
    Item,
    Progress,
    Refused,
    RunFile,
    Source,
    StatFile,
    TableRows,
)
from nngpt.store.lemur.stat_writer import StatWriter
from nngpt.store.lemur.table_writer import write_runs, write_table
from nngpt.store.lemur_tables import LemurImport
from nngpt.store.states import now

_BATCH = 40_000
_CACHE_KIB = 256 << 10


def import_source(
    database: Database, source: Source, progress: Progress | None = None, batch: int = _BATCH
) -> ImportReport:
    """Import everything that a source has.

    Args:
        progress: is told after every item.
        batch: size of a transaction, in rows of statistics.

    Raises:
        StoreError: the database cannot be written; the finished batches stay.
        DataError: the source broke off; the finished batches stay.
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
        _finish(session, number, report)
    return report


def finished_import(database: Database, sha256: str) -> str | None:
    """When the file with this checksum was imported (ISO 8601, UTC); None if it was not."""
    mine = (LemurImport.sha256 == sha256, LemurImport.finished.is_not(None))
    with database.read() as session:
        return session.scalar(select(LemurImport.finished).where(*mine).limit(1))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Python's collector of cycles, which finds none here, would take half of the time."""
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


def _finish(session: Session, number: int, report: ImportReport) -> None:
    values = {"finished": now(), "report": canonical_json(asdict(report))}
    session.execute(update(LemurImport).where(LemurImport.id == number).values(values))


def _batches(source: Source, progress: Progress | None, size: int) -> Iterator[list[Item]]:
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
    """How long an item takes to write, in rows of statistics."""
    if isinstance(item, StatFile):
        return 1 + len(item.trials)
    if isinstance(item, CodeFile):
        return 1 + len(item.code) // 500
    return 1 + len(item.rows) if isinstance(item, TableRows) else 5


def _write(
    session: Session,
    items: list[Item],
    codes: CodeWriter,
    stats: StatWriter,
    report: ImportReport,
) -> None:
    codes.write(session, [item for item in items if isinstance(item, CodeFile)])
    for item in items:
        if isinstance(item, Refused):
            report.refused.add(item.path, item.reason)
            codes.networks.cannot_be_had(item.network)
    stats.write(session, [item for item in items if isinstance(item, StatFile)])
    write_runs(session, [i for i in items if isinstance(i, RunFile)], codes.networks, report)
    for item in items:
        if isinstance(item, TableRows):
            write_table(session, item, codes.networks, report)
