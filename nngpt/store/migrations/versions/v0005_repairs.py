"""Add repairs: attempts that answer a refusal, counted apart from first answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the number of repairs, and the attempt that a repair answers."""
    number = sa.Column("repairs", sa.Integer(), nullable=False, server_default="0")
    op.add_column("nngpt_attempt", number)
    # Alembic cannot add a column with a foreign key to SQLite; SQLite itself can.
    op.execute(
        "ALTER TABLE nngpt_attempt ADD COLUMN repaired_from INTEGER REFERENCES nngpt_attempt(id)"
    )
    op.create_index(
        op.f("ix_nngpt_attempt_repaired_from"), "nngpt_attempt", ["repaired_from"], unique=True
    )
