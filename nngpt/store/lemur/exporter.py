"""Export the mirror, or a part of it, as the folders and files of a LEMUR package.

    DIR/ab/nn/nn/NAME.py      DIR/ab/nn/transform/NAME.py      DIR/ab/nn/metric/NAME.py
    DIR/ab/nn/stat/train/TASK_DATASET_METRIC_NETWORK/EPOCH.json
    DIR/ab/nn/stat/run/TASK_NETWORK/DEVICE.json

All files are written to a temporary folder that is renamed at the end: DIR is complete or absent.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from nngpt.errors import UserError
from nngpt.store import lemur_tables as lemur
from nngpt.store.database import Database
from nngpt.store.lemur.export_selection import ResolvedSelection, Selection, resolve_selection
from nngpt.store.lemur.file_formats import rebuild_run
from nngpt.store.lemur.mirror import among
from nngpt.store.lemur.package import PACKAGE
from nngpt.store.lemur.records import ExportReport, Progress
from nngpt.store.lemur.stat_rows import read_statistics_files
from nngpt.store.lemur_tables import LemurRun


def export_corpus(
    database: Database, target: Path, selection: Selection, progress: Progress | None = None
) -> ExportReport:
    """Write the selected networks and statistics as a LEMUR package to the folder `target`.

    Args:
        progress: called after every file.

    Raises:
        UserError: the folder is not empty or cannot be created; the selection is empty; a file
            cannot be written, for example because the disk is full.
    """
    began = time.monotonic()
    report = ExportReport()
    with _folder(target) as folder, database.read() as session:
        chosen = resolve_selection(session, selection)
        writer = FileWriter(folder.joinpath(*PACKAGE), report, progress, chosen.files)
        _write_code(session, chosen, writer, report)
        _write_statistics(session, chosen, writer, report)
        if selection.with_runs:
            _write_runs(session, chosen, writer, report)
    report.seconds = round(time.monotonic() - began, 1)
    return report


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` on success."""
    hint = "Give a new or empty folder"
    if target.is_dir() and any(target.iterdir()):
        raise UserError("is not empty", where=str(target), hint=hint)
    if target.exists() and not target.is_dir():
        raise UserError("is a file, not a folder", where=str(target), hint=hint)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent)
    except OSError as error:
        why = f"cannot be created ({error.strerror})"
        raise UserError(why, where=str(target), hint=hint) from None
    with beside as name:
        draft = Path(name) / target.name
        try:
            draft.mkdir()
            yield draft
            os.sync()  # once: syncing each of 100,000 files would take minutes
            draft.rename(target)
        except OSError as error:
            why = f"cannot be written ({error.strerror}); nothing was kept"
            raise UserError(
                why, where=str(target), hint="Free disk space, or give another folder"
            ) from None


def _write_code(
    session: Session, chosen: ResolvedSelection, writer: FileWriter, report: ExportReport
) -> None:
    tables = (
        (lemur.nn, chosen.networks),
        (lemur.transform, chosen.transforms),
        (lemur.metric, chosen.metrics),
    )
    written = []
    for table, names in tables:
        query = select(table.c.name, table.c.code).where(among(table.c.name, names))
        if table is not lemur.nn:  # our runs store LEMUR's own names without code
            query = query.where(table.c.code != "")
        rows = session.execute(query.order_by(table.c.name))
        files = ((f"{table.name}/{row.name}.py", row.code) for row in rows.yield_per(500))
        written.append(sum(writer.write(path, text) for path, text in files))
    report.networks, report.transforms, report.metrics = written


def _write_statistics(
    session: Session, chosen: ResolvedSelection, writer: FileWriter, report: ExportReport
) -> None:
    for experiment, epoch, trials in read_statistics_files(session, chosen):
        folder = experiment.folder
        if folder.count("_") != 3:
            reason = "a name contains _, which LEMUR uses to join names"
            writer.skip(f"stat/train/{folder}/{epoch}.json", reason)
        elif writer.write(f"stat/train/{folder}/{epoch}.json", _trials_json(trials)):
            report.files += 1
            report.rows += len(trials)
            report.empty += not trials


def _write_runs(
    session: Session, chosen: ResolvedSelection, writer: FileWriter, report: ExportReport
) -> None:
    run = lemur.run.c
    query = select(LemurRun.path, LemurRun.record, run.device_analytics_json)
    query = query.join_from(LemurRun, lemur.run, LemurRun.run_id == run.id)
    for path, record, analytics in session.execute(
        query.where(among(run.model_name, chosen.networks)).order_by(LemurRun.path)
    ).yield_per(500):
        report.runs += writer.write(f"stat/run/{path}", rebuild_run(record, analytics))


_LONGEST_NAME = 255


class FileWriter:
    """Write files of the exported package; skip those with an impossible name or text."""

    def __init__(
        self, root: Path, report: ExportReport, progress: Progress | None, total: int
    ) -> None:
        self._root, self._report = root, report
        self._progress, self._total = progress, total
        self._done = 0
        self._made: Path | None = None

    def write(self, path: str, text: str) -> bool:
        """Write a file of the package; return False if it was skipped."""
        parts = path.split("/")
        if any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in parts):
            return self.skip(path, "the name is too long for a file name")
        if "\0" in path or not all(parts) or {".", ".."} & {*parts} or len(parts) > 4:
            return self.skip(path, "the name is not a valid file name")
        try:
            data = text.encode()
            target = self._root.joinpath(*parts)
            str(target).encode()
        except UnicodeEncodeError:
            return self.skip(path, "contains half a surrogate pair")
        if target.parent != self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made = target.parent
        target.write_bytes(data)
        self._report_progress()
        return True

    def skip(self, path: str, reason: str) -> bool:
        """Report a file of the package as skipped, and return False."""
        self._report.skipped.add(path, reason)
        self._report_progress()
        return False

    def _report_progress(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, max(self._done, self._total))


def _trials_json(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return trials as the LEMUR exporter writes them: `json.dumps(trials, indent=4)`, faster."""
    if not trials:
        return "[]"
    return "[\n    " + ",\n    ".join(map(_trial_json, trials)) + "\n]"


def _trial_json(trial: Mapping[str, Any]) -> str:
    if any(isinstance(value, dict | list) for value in trial.values()):
        return json.dumps(trial, indent=4).replace("\n", "\n    ")
    # `indent` selects a slow encoder; separators with white space give the same text.
    return "{\n        " + _FLAT.encode(trial)[1:-1] + "\n    }"


_FLAT = json.JSONEncoder(separators=(",\n        ", ": "))
