"""Invariants of a run's database at any moment, and after the end of the run.

Everything is read from a copy: opening the original would start the recovery that the next runner
must do.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = list[tuple[Any, ...]]

LEGAL = {
    None: {"generated"},
    "generated": {"parsed", "refused"},
    "parsed": {"validated", "refused"},
    "validated": {"training", "refused"},
    "training": {"trained", "refused", "validated"},
    "trained": {"judged", "refused"},
    "judged": {"admitted", "refused"},
}
"""The state machine; the next runner puts a lost training back: training → validated."""


@dataclass(frozen=True)
class Standing:
    """Contents of a database at one moment.

    Attributes:
        in_training: ids of attempts in training.
        history: every transition, in order.
    """

    in_training: frozenset[int] = frozenset()
    history: tuple[tuple[Any, ...], ...] = ()


def database(folder: Path) -> Path:
    """Return the path of the database in `folder`."""
    return folder / "runs" / "nngpt.db"


def check(folder: Path, *, batch: int, workers: int, lag: int = 0) -> Standing:
    """Check what must hold at any moment; a missing database is fine."""
    if not database(folder).exists():
        return Standing()
    with reading(folder) as db:
        assert query(db, "PRAGMA integrity_check") == [("ok",)]
        assert query(db, "PRAGMA foreign_key_check") == []
        _check_histories(db)
        _check_batches(db, batch)
        _check_repairs(db)
        _check_trainings(db)
        _check_admissions(db)
        _check_cycles(db, lag)
        training = query(db, "SELECT run_id, id FROM nngpt_attempt WHERE state = 'training'")
        assert all(count <= workers for count in Counter(run for run, _ in training).values())
        history = query(
            db, "SELECT id, attempt_id, before, after, fence, at FROM nngpt_transition ORDER BY id"
        )
        return Standing(frozenset(attempt for _, attempt in training), tuple(history))


def check_end(
    folder: Path, standings: list[Standing], *, batch: int, workers: int, lag: int = 0
) -> None:
    """Check a finished run, and that nothing of an earlier moment was lost or redone."""
    end = check(folder, batch=batch, workers=workers, lag=lag)
    for earlier in standings:
        assert end.history[: len(earlier.history)] == earlier.history, "a record was lost"
    begun = sum(after == "training" for _, _, _, after, _, _ in end.history)
    done = sum(
        before == "training" and after != "validated" for _, _, before, after, _, _ in end.history
    )
    lost = Counter(attempt for earlier in standings for attempt in earlier.in_training)
    assert begun - done == lost.total(), "a training was lost or repeated without need"
    with reading(folder) as db:
        restarts = query(db, "SELECT id, restarts FROM nngpt_attempt WHERE restarts > 0")
        assert dict(restarts) == lost
        assert query(db, "SELECT DISTINCT status FROM nngpt_run") == [("done",)]
        states = query(db, "SELECT DISTINCT state FROM nngpt_attempt")
        assert set(states) <= {("admitted",), ("refused",)}


def outcome(folder: Path, name: str = "killed") -> tuple[Rows, Rows]:
    """Return what must not depend on kills: the attempts, and how each cycle ended."""
    with reading(folder) as db:
        attempts = query(
            db,
            "SELECT cycle, batch, place, text, adapter, state, refusal_stage, accuracy,"
            " content_hash, jaccard, evaluation_seed, retrained_accuracy, retrained_seed,"
            " repairs, prompt_hash"
            " FROM nngpt_attempt AS a JOIN nngpt_run AS r ON r.id = a.run_id"
            " WHERE r.name = ? ORDER BY cycle, place",
            name,
        )
        cycles = query(
            db,
            "SELECT c.cycle, c.adapter, c.reason, l.corpus_hash, l.pairs, l.parent"
            " FROM nngpt_cycle AS c JOIN nngpt_run AS r ON r.id = c.run_id"
            " LEFT JOIN nngpt_adapter AS l ON l.name = c.adapter WHERE r.name = ? ORDER BY c.cycle",
            name,
        )
    return attempts, cycles


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of the database."""
    path = database(folder)
    with tempfile.TemporaryDirectory() as aside:
        # Without -shm: the copy recovers from -wal as the next runner will.
        for file in (path, path.with_name(f"{path.name}-wal")):
            if file.exists():
                shutil.copy(file, aside)
        with closing(sqlite3.connect(Path(aside) / path.name)) as db:
            yield db


def query(db: sqlite3.Connection, sql: str, *values: object) -> Rows:
    """Return all rows of a query."""
    return db.execute(sql, values).fetchall()


def _check_histories(db: sqlite3.Connection) -> None:
    """Check that each attempt's transitions form a legal path to its state, without gaps."""
    states = dict(query(db, "SELECT id, state FROM nngpt_attempt"))
    rows = query(db, "SELECT attempt_id, before, after, fence FROM nngpt_transition ORDER BY id")
    standing: dict[int, tuple[str | None, int]] = dict.fromkeys(states, (None, 0))
    restarts: Counter[int] = Counter()
    for attempt, before, after, fence in rows:
        state, last_fence = standing[attempt]
        assert before == state, f"a gap in the history of attempt {attempt}"
        assert after in LEGAL[before], f"attempt {attempt}: {before} → {after}"
        assert fence >= last_fence
        if (before, after) == ("training", "validated"):
            assert fence > last_fence, "put back by the runner that trained it"
            restarts[attempt] += 1
        standing[attempt] = after, fence
    assert {attempt: state for attempt, (state, _) in standing.items()} == states
    assert dict(query(db, "SELECT id, restarts FROM nngpt_attempt")) == {
        attempt: restarts[attempt] for attempt in states
    }


def _check_batches(db: sqlite3.Connection, size: int) -> None:
    """Check that batches are complete and in order."""
    rows = query(
        db,
        "SELECT run_id, cycle, batch, place, batch_index FROM nngpt_attempt"
        " WHERE repairs = 0 ORDER BY id",
    )
    cycles: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for run, cycle, *where in rows:
        cycles.setdefault((run, cycle), []).append(tuple(where))
    for found in cycles.values():
        assert len(found) % size == 0
        assert found == [(place // size, place, place % size) for place in range(len(found))]


def _check_repairs(db: sqlite3.Connection) -> None:
    """Check that a repair answers one refused attempt, after all earlier ones were settled."""
    rows = query(
        db,
        "SELECT r.id, a.id FROM nngpt_attempt AS r LEFT JOIN nngpt_attempt AS a"
        " ON a.id = r.repaired_from AND a.run_id = r.run_id AND a.cycle = r.cycle"
        " AND a.batch = r.batch AND a.repairs = r.repairs - 1 AND a.state = 'refused'"
        " AND a.refusal_stage IN ('parse', 'contract', 'safety', 'build', 'forward', 'train')"
        " WHERE r.repairs > 0",
    )
    assert all(refused is not None for _, refused in rows)
    assert len({refused for _, refused in rows}) == len(rows), "repaired twice"
    early = query(
        db,
        "SELECT r.id FROM nngpt_attempt AS r JOIN nngpt_attempt AS a ON a.run_id = r.run_id"
        " AND a.cycle = r.cycle AND a.repairs < r.repairs"
        " WHERE a.state NOT IN ('admitted', 'refused') OR a.place > r.place",
    )
    assert early == []


def _check_trainings(db: sqlite3.Connection) -> None:
    """Check that each training happened once, with its curve here and in LEMUR's table."""
    trained = query(
        db, "SELECT attempt_id, count(*) FROM nngpt_transition WHERE after = 'trained' GROUP BY 1"
    )
    evaluated = query(db, "SELECT id, 1 FROM nngpt_attempt WHERE accuracy IS NOT NULL")
    assert sorted(trained) == sorted(evaluated)
    epochs = query(db, "SELECT attempt_id, epoch, accuracy FROM nngpt_epoch ORDER BY 1, 2")
    curves: dict[int, list[float]] = {}
    for attempt, epoch, accuracy in epochs:
        curves.setdefault(attempt, []).append(accuracy)
        assert epoch == len(curves[attempt])
    last = query(db, "SELECT id, accuracy FROM nngpt_attempt WHERE accuracy IS NOT NULL")
    assert {attempt: curve[-1] for attempt, curve in curves.items()} == dict(last)
    assert len({len(curve) for curve in curves.values()}) <= 1
    # Each row of LEMUR's belongs to one epoch, and says the same.
    paired = query(
        db,
        "SELECT count(DISTINCT s.id) FROM nngpt_epoch AS e JOIN stat AS s ON s.id = e.stat_id"
        " AND s.epoch = e.epoch AND s.accuracy = e.accuracy",
    )
    assert paired == query(db, "SELECT count(*) FROM stat") == [(len(epochs),)]


def _check_admissions(db: sqlite3.Connection) -> None:
    """Check that a content hash is admitted at most once in a run."""
    admitted = "SELECT run_id, content_hash, id FROM nngpt_attempt WHERE state = 'admitted'"
    noted = "SELECT run_id, content_hash, attempt_id FROM nngpt_admission"
    rows = query(db, admitted)
    assert sorted(rows) == sorted(query(db, noted))
    assert len({(run, content_hash) for run, content_hash, _ in rows}) == len(rows)


def _check_cycles(db: sqlite3.Connection, lag: int) -> None:
    """Check that cycles begin and close in order, with their adapters and nothing open."""
    final = "('admitted', 'refused')"
    left = (
        "SELECT a.id FROM nngpt_attempt AS a JOIN nngpt_cycle AS c"
        f" ON c.run_id = a.run_id AND c.cycle = a.cycle WHERE a.state NOT IN {final}"
    )
    assert query(db, left) == []
    early = (
        "SELECT a.id FROM nngpt_attempt AS a WHERE a.cycle - 1 > ? AND NOT EXISTS (SELECT 1 FROM"
        " nngpt_cycle AS c WHERE c.run_id = a.run_id AND c.cycle = a.cycle - 1 - ?)"
    )
    assert query(db, early, lag, lag) == []
    made = query(db, "SELECT run_id, cycle, name FROM nngpt_adapter ORDER BY 1, 2")
    closing_ = "SELECT run_id, cycle, adapter FROM nngpt_cycle WHERE adapter IS NOT NULL"
    assert made == sorted(query(db, closing_))
