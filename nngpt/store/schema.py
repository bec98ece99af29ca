"""The schema's version: reading it, and bringing a database up to it with Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from nngpt.errors import StoreError
from nngpt.store import block_tables, lemur_tables
from nngpt.store.tables import Base

HEAD = "0007"
"""The revision this nngpt reads and writes (a test compares it with the migrations)."""

TABLE_MODULES = (block_tables, lemur_tables)  # importing them declares their tables
METADATA = Base.metadata
"""Every table, ours and LEMUR's."""

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def revision(connection: Connection) -> str | None:
    """The database's revision, None if it has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection, where: str) -> None:
    """Run the missing migrations inside the connection's transaction.

    Raises:
        StoreError: the database was made by a newer nngpt.
    """
    # Alembic takes long to import and is needed only for a new or an old database.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    present = revision(connection)
    if present is not None and present not in known:
        raise StoreError(
            f"made by a newer nngpt (schema {present}, this one knows up to {HEAD})",
            where=where,
            hint="Upgrade nngpt, or give another path",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
