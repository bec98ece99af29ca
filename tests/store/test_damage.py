"""A damaged or hand-edited database is refused when it is opened, and its whole rows are saved."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from command_line import Nngpt
from store_samples import (
    NOVEL,
    REFUSAL,
    TASK,
    adapter,
    admit,
    bring_to_training,
    evaluation,
    open_new,
    start,
    write,
)

from nngpt.errors import StoreError
from nngpt.store import Activity, Confirmation, ForecastRecord, Store, integrity
from nngpt.store.salvage import report_damage, save_whole

OLD = Path(__file__).parents[1] / "cycle" / "old_run" / "runs" / "nngpt.db"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with rows in every table of runs: a closed cycle and an open one."""
    path = tmp_path_factory.mktemp("sample") / "nngpt.db"
    with open_new(path) as store, store.lease(start(store).id) as lease:
        lease.forecast(ForecastRecord("2026-11-28T01:00:00+00:00", 3, 360.0, 200.0, 500.0, 0.0, {}))
        first, second = write(lease, 2)
        admit(lease, first)
        lease.refuse(second, REFUSAL)
        lease.confirmed(Confirmation(first, "{}", 5, 0.5, 100, (0.4, 0.5), 9.0))
        lease.spend([Activity(1, "writing", 20.0, None)])
        lease.add_adapter(1, adapter("a1"))
        third, fourth, _ = write(lease, 3, cycle=2)
        bring_to_training(lease, third, "class Net: third\n")
        lease.trained(third, evaluation(0.25, 0.5), TASK)
        lease.judged(third, NOVEL)
        lease.refuse(fourth, REFUSAL)
    return path


@pytest.fixture
def path(sample: Path, tmp_path: Path) -> Path:
    """A copy of the sample."""
    return Path(shutil.copy(sample, tmp_path / "nngpt.db"))


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            assert db.execute(statement).rowcount != 0


def test_every_row_of_a_run_has_a_digest(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        tables = [
            name
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND (name GLOB 'nngpt_*'"
                " OR name IN ('stat', 'nn', 'prm', 'transform', 'metric'))"
            )
            if not name.startswith(("nngpt_block_", "nngpt_lemur_", "nngpt_sig", "nngpt_digest"))
        ]
        counted = "SELECT count(*) FROM nngpt_digest WHERE table_name = ?"
        for table in tables:
            (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert db.execute(counted, (table,)).fetchone() == (rows,) != (0,), table
        assert db.execute(counted, ("chain",)).fetchone() == (1,)


EDITS = {
    "nngpt_run 1 (run 1): differs": "UPDATE nngpt_run SET config = '{'",
    "(attempt 1, run 1, cycle 1): differs": "UPDATE nngpt_prompt SET body = '[]'",
    "nngpt_code": "UPDATE nngpt_code SET code = code || ' '",
    "nngpt_attempt 4 (attempt 4, run 1, cycle 2): differs": (
        "UPDATE nngpt_attempt SET state = 'admitted' WHERE id = 4"
    ),
    "nngpt_attempt 1": "UPDATE nngpt_attempt SET hyperparameters = 'x' WHERE id = 1",
    "nngpt_attempt 5": "UPDATE nngpt_attempt SET text = CAST(x'ff1b' AS TEXT) WHERE id = 5",
    "nngpt_epoch 3|2 (attempt 3, run 1, cycle 2): the row is lost": (
        "DELETE FROM nngpt_epoch WHERE attempt_id = 3 AND epoch = 2"
    ),
    "nngpt_transition 9: the row is lost": "DELETE FROM nngpt_transition WHERE id = 9",
    "nngpt_admission: the table is missing": "DROP TABLE nngpt_admission",
    "nngpt_transition: the table is missing": "DROP TABLE nngpt_transition",
    "nngpt_digest: the table is missing": "DROP TABLE nngpt_digest",
    "nngpt_cycle 1|1 (run 1, cycle 1)": "UPDATE nngpt_cycle SET reason = 'none'",
    "nngpt_adapter 1|1": "UPDATE nngpt_adapter SET pairs = pairs + 1",
    "nngpt_activity 1|1|writing": "UPDATE nngpt_activity SET seconds = 0",
    "nngpt_activity 1|9|x (run 1, cycle 9): was not stored by nngpt": (
        "INSERT INTO nngpt_activity VALUES (1, 9, 'x', 1.0, NULL)"
    ),
    "nngpt_forecast": "DELETE FROM nngpt_forecast",
    "nngpt_confirmation": "UPDATE nngpt_confirmation SET epochs = '[1]'",
    "stat": "UPDATE stat SET accuracy = 0.9 WHERE epoch = 2",
    "nn nngpt-": "UPDATE nn SET code = ''",
    "prm ": "DELETE FROM prm WHERE name = 'lr'",
    "metric ": "UPDATE metric SET name = 'loss'",
    "file: the schema": "DROP INDEX ix_nngpt_run_current",
    "chain of digests": "UPDATE nngpt_digest SET digest = 1 WHERE table_name = 'chain'",
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_by_another_program_is_damage(path: Path, what: str) -> None:
    edit(path, EDITS[what])
    with pytest.raises(StoreError, match="the database is damaged") as caught:
        Store.open(path)
    line = caught.value.line()
    assert what in line
    assert "Restore the file from a copy" in line and "nngpt cycle check" in line
    assert len(line) < 500 and "\n" not in line
    assert report_damage(path, None).findings


def test_what_was_just_checked_is_checked_again_only_if_it_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Mock(wraps=integrity.examine)
    monkeypatch.setattr(integrity, "examine", checked)
    monkeypatch.setattr(integrity, "time", Mock(time=lambda: 1e12, monotonic=lambda: 90.0))
    for _ in range(2):
        Store.open(path).close()
    assert checked.call_count == 1
    when = path.stat()
    edit(path, "UPDATE nngpt_attempt SET seed = 12 WHERE id = 5")
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert path.stat().st_size == when.st_size
    for _ in range(2):
        with pytest.raises(StoreError, match="differs"):
            Store.open(path)
    monkeypatch.undo()
    assert integrity._state(path) == ()  # written a moment ago


def test_a_change_by_nngpt_is_no_damage(path: Path) -> None:
    with Store.open(path) as store:
        run = store.run("demo")
        with store.lease(run.id) as lease:
            lease.admit(3)
            lease.refuse(5, REFUSAL)
            lease.skip_learning(2, "nothing new")
            lease.finish_run()
        store.reopen_run(run.id)
        store.archive_run(run.id)
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM")
    Store.open(path).close()
    assert report_damage(path, None).findings == []


def test_damage_during_a_run_stays_damage(path: Path) -> None:
    with Store.open(path) as store, store.lease(1) as lease:
        edit(path, "UPDATE nngpt_attempt SET seed = 12 WHERE id = 5")
        lease.refuse(5, REFUSAL)
    with pytest.raises(StoreError, match=r"nngpt_attempt 5 .*differs"):
        Store.open(path)


OLD_EDITS = {
    "config is no JSON object": "UPDATE nngpt_run SET config = '[]'",
    "hyperparameters is no JSON object": "UPDATE nngpt_attempt SET hyperparameters = 'x'",
    "no transition led": "UPDATE nngpt_attempt SET state = 'admitted' WHERE state = 'refused'",
    "epochs contradict": "DELETE FROM nngpt_epoch WHERE rowid = 1",
    "admissions contradict": "DELETE FROM nngpt_admission WHERE rowid = 1",
    "nngpt_transition: the table is missing": "DROP TABLE nngpt_transition",
    "row of nngpt_prompt to which it refers": "DELETE FROM nngpt_prompt",
}


@pytest.mark.parametrize("what", OLD_EDITS)
def test_an_old_database_is_not_migrated_if_it_is_damaged(tmp_path: Path, what: str) -> None:
    path = Path(shutil.copy(OLD, tmp_path / "nngpt.db"))
    edit(path, OLD_EDITS[what])
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"is damaged: .*{what}"):
        Store.open(path)
    assert path.read_bytes() == before


def test_an_old_database_is_copied_before_its_migration(nngpt: Nngpt, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    path = Path(shutil.copy(OLD, tmp_path / "runs" / "nngpt.db"))
    first, second = (nngpt("cycle", "status", "--json") for _ in range(2))
    assert (first.returncode, second.stderr) == (0, "") and first.stdout == second.stdout
    assert first.stderr.count("\n") == 1 and "nngpt.db.schema-0007" in first.stderr
    copy = path.with_name("nngpt.db.schema-0007")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, copy.name]
    shutil.move(copy, path)
    assert nngpt("cycle", "status", "--json").stdout == first.stdout


def test_check_names_damage_and_saves_the_rest(nngpt: Nngpt, path: Path, tmp_path: Path) -> None:
    whole = nngpt("cycle", "check", "--folder", ".")
    assert whole.returncode == 0 and whole.stdout.endswith("nngpt.db is whole\n")
    edit(path, "UPDATE nngpt_attempt SET text = 'x' WHERE id = 1")
    found = nngpt("cycle", "check", "demo", "--folder", ".", "--save", "saved/nngpt.db")
    assert found.returncode == 2 and found.stderr == ""
    assert "nngpt_attempt 1 (attempt 1, run 1, cycle 1): differs" in found.stdout
    assert "run 1 (demo): 4 of 5 attempts whole" in found.stdout
    with Store.open(tmp_path / "saved" / "nngpt.db") as store:
        (run,) = store.runs()
        assert (run.name, run.status) == ("demo", "archived")
        assert [attempt.id for attempt in store.attempts(run.id)] == [2, 3, 4, 5]
        assert store.attempt(3).evaluation == evaluation(0.25, 0.5)
    again = nngpt("cycle", "check", "--folder", ".", "--save", "saved/nngpt.db")
    assert again.returncode == 2 and "exists already" in again.stderr
    other = nngpt("cycle", "check", "another", "--folder", ".", "--json")
    assert other.returncode == 2 and "no run 'another'" in other.stderr


def test_a_lost_page_is_named_and_the_rest_saved(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'nngpt_forecast'"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(path)
    assert "nngpt_forecast" in str(report_damage(path, None).findings)
    assert save_whole(path, tmp_path / "saved.db") == 1
    with Store.open(tmp_path / "saved.db") as store:
        assert len(store.attempts(1)) == 5 and store.forecasts(1) == []


def test_a_damaged_log_is_found_unless_only_its_last_transaction_is(
    path: Path, tmp_path: Path
) -> None:
    """As a process that was killed leaves it; the last transaction may be one that was cut off."""
    log = path.with_name("nngpt.db-wal")
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(path)):
        db.execute("CREATE TABLE users_own (value)")
        for value in range(3):
            with db:
                db.execute("INSERT INTO users_own VALUES (?)", (value,))
        whole = log.read_bytes()
        (tmp_path / "killed").mkdir()
        killed = Path(shutil.copy(path, tmp_path / "killed"))
    frame = 24 + 4096
    for place, found in (
        (40, True),
        (4, True),
        (17, True),
        (len(whole) - 2 * frame + 99, True),
        (-9, False),
    ):
        content = bytearray(whole)
        content[place] ^= 16
        (tmp_path / "killed" / log.name).write_bytes(content)
        if found:
            for _ in range(2):
                with pytest.raises(StoreError, match="damaged write-ahead log"):
                    Store.open(killed)
            assert save_whole(killed, tmp_path / f"saved-{place}.db") == 0
        else:
            Store.open(killed).close()


def test_what_a_killed_creation_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".nngpt.db.partial"
    left.mkdir()
    (left / "nngpt.db-journal").write_text("half")
    Store.open(tmp_path / "nngpt.db").close()
    assert [file.name for file in tmp_path.iterdir()] == ["nngpt.db"]
