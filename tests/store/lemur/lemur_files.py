"""Build small LEMUR packages file by file, and read the imported rows."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from nngpt.store import Store
from nngpt.store.lemur.export_selection import Selection
from nngpt.store.lemur.exporter import export_corpus
from nngpt.store.lemur.importer import import_source, open_source
from nngpt.store.lemur.records import ExportReport, ImportReport, Progress

FOLDER = "img-classification_cifar-10_acc_Net"
TRIAL = {
    "accuracy": 0.5,
    "batch": 64,
    "duration": 1_500_000_000,
    "lr": 0.01,
    "momentum": 1.0,
    "transform": "norm",
    "uid": "u1",
}


def trial(**changes: Any) -> dict[str, Any]:
    """Return a trial of generation 2.1; None removes a key."""
    return {k: v for k, v in {**TRIAL, **changes}.items() if v is not None}


def package(root: Path, *names: str) -> Path:
    """Write a package folder with networks, a transform and a metric, without statistics."""
    for path in (*(f"nn/{name}" for name in names or ("Net",)), "transform/norm", "metric/acc"):
        write(root, f"{path}.py", f"# {path}\nclass Net: pass\n")
    return root


def write(root: Path, path: str, content: Any) -> Path:
    """Write a file below `ab/nn`: text or bytes unchanged, anything else as JSON."""
    file = root / "ab" / "nn" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, str | bytes):
        content = json.dumps(content, indent=4)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def stat(root: Path, content: Any, epoch: int | str = 1, folder: str = FOLDER) -> Path:
    """Write a statistics file."""
    return write(root, f"stat/train/{folder}/{epoch}.json", content)


def bring_in(
    mirror: Store, path: Path, batch: int = 1000, progress: Progress | None = None
) -> ImportReport:
    """Import a path."""
    source = open_source(path)
    try:
        return import_source(mirror.database, source, progress, batch)
    finally:
        source.close()


def take_out(mirror: Store, target: Path, **selection: Any) -> ExportReport:
    """Export into a folder."""
    return export_corpus(mirror.database, target, Selection(**selection))


def rows(mirror: Store, query: str) -> list[Any]:
    """Return the rows of a query, read with sqlite3 alone."""
    connection = sqlite3.connect(mirror.path)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def tables(mirror: Store) -> dict[str, Counter[str]]:
    """Return all rows of all tables, without times."""
    names = [name for (name,) in rows(mirror, "SELECT name FROM sqlite_master WHERE type='table'")]
    skipped = {"alembic_version", "nngpt_lemur_import"}
    kept = [name for name in names if name not in skipped and not name.startswith("sqlite_")]
    return {name: Counter(map(repr, rows(mirror, f"SELECT * FROM {name}"))) for name in kept}


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
