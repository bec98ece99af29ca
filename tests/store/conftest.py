"""An empty store for each test; another backend passes the contract tests by replacing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import migrate, open_new

from nngpt.store import Store, database


@pytest.fixture(autouse=True)
def migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new databases as users' processes do."""
    monkeypatch.setattr(database, "_initialise", migrate)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "nngpt.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_new(path) as opened:
        yield opened
