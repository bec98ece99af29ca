"""A run's outcome does not depend on who else uses the machine; its limit stays when it resumes."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from busy import busy_loops
from command_line import Nngpt

from nngpt.store import Store

COLUMNS = (
    "place, arm, state, content_hash, accuracy, retrained_accuracy, jaccard, nearest, "
    "refusal_stage, refusal_reason, restarts"
)


def attempts(folder: Path) -> list[Any]:
    """Return what a run decided about its attempts; what it tried meanwhile depends on speed."""
    with closing(sqlite3.connect(folder / "runs" / "nngpt.db")) as database, database:
        return database.execute(f"SELECT {COLUMNS} FROM nngpt_attempt ORDER BY place").fetchall()


def limit_s(folder: Path) -> float:
    """Return the limit on own seconds that a run stored."""
    with closing(sqlite3.connect(folder / "runs" / "nngpt.db")) as database, database:
        [(found,)] = database.execute("SELECT limit_s FROM nngpt_run").fetchall()
    return float(found)


def test_a_loaded_machine_admits_the_same_networks(
    nngpt: Nngpt, finished: Path, scripted: list[str], tmp_path: Path
) -> None:
    scripted = [*scripted, "--set", "evaluation.limit_s=auto"]
    with busy_loops(len(os.sched_getaffinity(0))):
        done = nngpt("cycle", "run", "smoke-mnist", "--cycles", 1, *scripted)
    assert done.returncode == 0, done.stderr
    assert attempts(tmp_path) == attempts(finished)
    assert sum(row[2] == "admitted" for row in attempts(tmp_path)) >= 2

    kept = limit_s(tmp_path)
    with Store.open(tmp_path / "runs" / "nngpt.db") as store, store.lease(1) as lease:
        lease.limit_time(31.5)
    resumed = nngpt("cycle", "run", "smoke-mnist", "--cycles", 2, *scripted)
    assert "A training may use 31.5 seconds of its own." in resumed.stdout
    assert limit_s(tmp_path) == 31.5 != kept
    given = ("--set", "evaluation.limit_s=44")
    again = nngpt("cycle", "run", "smoke-mnist", "--cycles", 3, *scripted, *given)
    assert (again.returncode, limit_s(tmp_path)) == (0, 44)
