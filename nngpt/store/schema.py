"""The schema version of a database, and its upgrade with Alembic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from nngpt.errors import StoreError
from nngpt.store import block_tables, lemur_tables
from nngpt.store.tables import Base

HEAD = "0013"
"""Revision that this version of nngpt reads and writes; a test compares it with the migrations."""

TABLE_MODULES = (block_tables, lemur_tables)  # importing them declares their tables
METADATA = Base.metadata
"""Metadata of all tables, nngpt's and LEMUR's."""

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def revision(connection: Connection) -> str | None:
    """Return the schema revision of a database, or None if it has no nngpt tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection, where: str, before: Callable[[str], None]) -> None:
    """Run a database's missing schema migrations inside the connection's transaction.

    Args:
        before: called with the revision of an older database, before it is changed.

    Raises:
        StoreError: a newer version of nngpt made the database.
    """
    # Alembic is slow to import, and only new and old databases need it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    present = revision(connection)
    if present is not None and present not in known:
        raise StoreError(
            f"made by a newer nngpt (schema {present}, this version supports up to {HEAD})",
            where=where,
            hint="Upgrade nngpt, or give another path",
        )
    if present is not None:
        before(present)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_script(migration: str) -> None:
    """Execute the SQL script that lies beside a schema migration and has its name.

    Args:
        migration: path of the migration's Python file.
    """
    from alembic import op

    for statement in Path(migration).with_suffix(".sql").read_text("utf-8").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)
