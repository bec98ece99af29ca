"""Open the database of a folder of runs, and find a run in it."""

from __future__ import annotations

import os
from pathlib import Path

from nngpt.errors import StoreError
from nngpt.files import DATABASE
from nngpt.store.store import Store
from nngpt.store.views import RunRecord

_START = "Start one: nngpt cycle run smoke-mnist"


def find_database(folder: Path) -> Path:
    """Return the path of the existing database of a folder of runs. Raises: StoreError."""
    path = folder / DATABASE
    if not os.access(path, os.F_OK):
        raise StoreError("no runs here", where=str(path), hint=_START)
    return path


def open_runs(folder: Path) -> Store:
    """Open the existing database of a folder of runs. Raises: StoreError."""
    return Store.open(find_database(folder), create=False)


def find_run(store: Store, run: str | None) -> RunRecord:
    """Find a run of a folder by name or number, None for the newest. Raises: StoreError."""
    if run is not None:
        return store.run(run)
    runs = store.runs()
    if not runs:
        raise StoreError("no runs here", where=str(store.path), hint=_START)
    return runs[-1]
