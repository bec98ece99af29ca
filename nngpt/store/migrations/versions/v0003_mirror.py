"""Create tables for what the mirror stores beyond LEMUR's own tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create tables for imports, values beyond LEMUR's tables and signatures, and indexes."""
    op.create_table(
        "nngpt_lemur_import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("started", sa.Text(), nullable=False),
        sa.Column("finished", sa.Text(), nullable=True),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "nngpt_lemur_extra",
        sa.Column("stat_id", sa.Text(), nullable=False),
        sa.Column("trial", sa.Text(), nullable=False),
        sa.Column("lacks", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["stat_id"], ["stat.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stat_id"),
    )
    op.create_table(
        "nngpt_lemur_run",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "nngpt_lemur_empty",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("nn", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("task", "dataset", "metric", "nn", "epoch"),
    )
    op.create_table(
        "nngpt_signature",
        sa.Column("nn", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("permutations", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("shingle", sa.Integer(), nullable=False),
        sa.Column("hashvalues", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["nn"], ["nn.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("nn"),
    )
    trial = ["task", "dataset", "metric", "nn", "epoch", "accuracy"]
    op.create_index("ix_stat_trials", "stat", trial, unique=False)
    curve = ["dataset", "epoch", "accuracy"]
    op.create_index("ix_stat_dataset_epoch_accuracy", "stat", curve, unique=False)
