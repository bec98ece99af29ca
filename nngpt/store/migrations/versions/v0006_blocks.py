"""Create the tables of the block index: libraries, files and classes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from nngpt.store.column_types import LosslessText

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables of the block index."""
    op.create_table(
        "nngpt_block_source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", LosslessText(), nullable=False),
        sa.Column("version", LosslessText(), nullable=False),
        sa.Column("licence", LosslessText(), nullable=False),
        sa.Column("kind", LosslessText(), nullable=False),
        sa.Column("place", LosslessText(), nullable=False),
        sa.Column("indexed", LosslessText(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name=op.f("uq_nngpt_block_source_name")),
    )
    op.create_table(
        "nngpt_block_file",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("module", LosslessText(), nullable=False),
        sa.Column("path", LosslessText(), nullable=False),
        sa.Column("package", sa.Boolean(), nullable=False),
        sa.Column("sha256", LosslessText(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("broken", LosslessText(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["nngpt_block_source.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "source_id", "module", name=op.f("uq_nngpt_block_file_source_id_module")
        ),
    )
    op.create_table(
        "nngpt_block_class",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("name", LosslessText(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("bases", LosslessText(), nullable=False),
        sa.Column("doc", LosslessText(), nullable=False),
        sa.Column("words", LosslessText(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["nngpt_block_file.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("file_id", "name", name=op.f("uq_nngpt_block_class_file_id_name")),
    )
