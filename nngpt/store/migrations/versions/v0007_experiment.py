"""Add control arms, alarms, time and energy by activity, forecasts and confirmations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from nngpt.store.column_types import LosslessText

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the arms of attempts and admissions, and three tables."""
    # SQLite itself adds a column with its constraint; Alembic would copy the table.
    op.execute(
        "ALTER TABLE nngpt_attempt ADD COLUMN arm TEXT NOT NULL DEFAULT 'loop' "
        "CONSTRAINT ck_nngpt_attempt_arm CHECK (arm IN ('loop', 'base', 'corpus'))"
    )
    for table, name in (("nngpt_run", "ended"), ("nngpt_cycle", "alarm")):
        op.add_column(
            table, sa.Column(name, LosslessText(), nullable=False, server_default=sa.text("''"))
        )
    _admission_by_arm()
    op.create_table(
        "nngpt_activity",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("activity", LosslessText(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("joules", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["nngpt_run.id"]),
        sa.PrimaryKeyConstraint("run_id", "cycle", "activity"),
    )
    op.create_table(
        "nngpt_forecast",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("created", LosslessText(), nullable=False),
        sa.Column("cycles", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("spent", sa.Double(), nullable=False),
        sa.Column("basis", LosslessText(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["nngpt_run.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_nngpt_forecast_run_id"), "nngpt_forecast", ["run_id"])
    op.create_table(
        "nngpt_confirmation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("protocol", LosslessText(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("epochs", LosslessText(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("reason", LosslessText(), nullable=False),
        sa.Column("created", LosslessText(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["nngpt_run.id"]),
        sa.ForeignKeyConstraint(["attempt_id"], ["nngpt_attempt.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "attempt_id", "protocol", name=op.f("uq_nngpt_confirmation_attempt_id_protocol")
        ),
    )
    op.create_index(op.f("ix_nngpt_confirmation_run_id"), "nngpt_confirmation", ["run_id"])


def _admission_by_arm() -> None:
    """Rebuild the table, because SQLite cannot change a primary key."""
    op.rename_table("nngpt_admission", "nngpt_admission_before")
    op.create_table(
        "nngpt_admission",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("arm", LosslessText(), nullable=False),
        sa.Column("content_hash", LosslessText(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["nngpt_attempt.id"]),
        sa.ForeignKeyConstraint(["run_id"], ["nngpt_run.id"]),
        sa.PrimaryKeyConstraint("run_id", "arm", "content_hash"),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_nngpt_admission_attempt_id")),
    )
    op.execute(
        "INSERT INTO nngpt_admission (run_id, arm, content_hash, attempt_id) "
        "SELECT run_id, 'loop', content_hash, attempt_id FROM nngpt_admission_before"
    )
    op.drop_table("nngpt_admission_before")
