"""Opening databases: refusals that leave no trace, creation, and migrations."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from store_samples import start

from nngpt.errors import StoreError
from nngpt.store import Store, schema
from nngpt.store.database import IllegalWriteError, _create


def _snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(file.relative_to(folder)): file.read_bytes() if file.is_file() else None
        for file in folder.rglob("*")
    }


def _refused(path: Path, folder: Path, match: str) -> None:
    before = _snapshot(folder)
    with pytest.raises(StoreError, match=match) as caught:
        Store.open(path)
    assert str(path) in caught.value.line() and caught.value.hint
    assert _snapshot(folder) == before


def _other_database(path: Path, *tables: str, wal: bool = False) -> None:
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
    for table in tables:
        connection.execute(f"CREATE TABLE {table} (id)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("wal", [False, True])
def test_database_of_another_program_is_not_touched(tmp_path: Path, wal: bool) -> None:
    path = tmp_path / "50% other?.db"
    _other_database(path, "bookmarks", "nn", wal=wal)
    _refused(path, tmp_path, "another program")


def test_lemur_database_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "ab.nn.db"
    _other_database(path, "nn", "stat", "prm")
    _refused(path, tmp_path, "LEMUR database.*another path")


@pytest.mark.parametrize("content", [b"hello", b"\0" * 5000, b"SQLite format 3\0" + b"\0" * 100])
def test_other_files_are_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    _refused(path, tmp_path, "not a SQLite database|another program")


def test_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path, tmp_path, "folder")


def test_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _refused(tmp_path / "file" / "nngpt.db", tmp_path, "cannot be opened")
    _refused(tmp_path / "file" / "deep" / "nngpt.db", tmp_path, "cannot be opened")


def test_unwritable_folder_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be created"):
        Store.open(Path("/proc/nngpt/nngpt.db"))


def test_missing_database_is_not_created_for_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such database"):
        Store.open(tmp_path / "sub" / "nngpt.db", create=False)
    assert _snapshot(tmp_path) == {}


def test_database_of_a_newer_nngpt_is_refused(store: Store, path: Path) -> None:
    start(store)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    _refused(path, path.parent, "newer nngpt.*9999")


def test_damaged_database_is_reported(path: Path) -> None:
    Store.open(path).close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"), Store.open(path) as store:
        store.runs()


def test_empty_file_becomes_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Store.open(path) as store:
        start(store)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_creation_leaves_one_file_with_the_application_id(store: Store, path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes()[68:72] == b"nngp"


def test_losing_the_race_to_create_keeps_the_winner(store: Store, path: Path) -> None:
    run = start(store)
    _create(path)
    assert store.run("demo") == run
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_pragmas_of_every_connection(store: Store) -> None:
    with store.database.write() as session:
        for pragma, value in {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 60000,
        }.items():
            assert session.scalar(text(f"PRAGMA {pragma}")) == value


def test_write_locks_the_database_before_it_reads(store: Store, path: Path) -> None:
    other = sqlite3.connect(path, timeout=0)
    with store.database.write() as session:
        session.scalar(text("SELECT 1"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT count(*) FROM nngpt_run").fetchone() == (0,)
    other.close()


def test_failed_write_is_rolled_back(store: Store) -> None:
    with pytest.raises(IllegalWriteError), store.database.write() as session:
        session.execute(text("INSERT INTO nngpt_code VALUES ('a', 'b', 'c')"))
        session.execute(text("INSERT INTO nngpt_code VALUES ('a', 'b', 'c')"))
    with store.database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM nngpt_code")) == 0


def test_migrations_create_the_tables_of_the_code(store: Store) -> None:
    with store.database.read() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, schema.METADATA) == []
        assert schema.revision(session.connection()) == schema.HEAD


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_old_database_is_migrated_and_keeps_its_rows(store: Store, path: Path) -> None:
    connection = sqlite3.connect(path)
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'nngpt_%'"
    ).fetchall():
        connection.execute(f"DROP TABLE {name}")
    connection.execute("DROP INDEX ix_stat_trials")
    connection.execute("DROP INDEX ix_stat_dataset_epoch_accuracy")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.execute("INSERT INTO metric VALUES ('acc', '', 'x')")
    connection.commit()
    connection.close()
    with Store.open(path) as reopened:
        start(reopened)
        with reopened.database.read() as session:
            assert session.scalar(text("SELECT name FROM metric")) == "acc"


def test_opening_prints_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from nngpt.store import Store;"
        "Store.open(pathlib.Path(sys.argv[1])).close(); assert 'torch' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "new.db")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
