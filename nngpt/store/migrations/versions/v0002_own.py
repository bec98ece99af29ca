"""Create nngpt's own tables: runs, prompts, attempts, adapters and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create nngpt's own tables."""
    op.create_table(
        "nngpt_code",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(
        op.f("ix_nngpt_code_content_hash"), "nngpt_code", ["content_hash"], unique=False
    )
    op.create_table(
        "nngpt_prompt",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("template_hash", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "nngpt_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("updated", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'done', 'archived')", name=op.f("ck_nngpt_run_status")
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_nngpt_run_current",
        "nngpt_run",
        ["name"],
        unique=True,
        sqlite_where=sa.text("status <> 'archived'"),
    )
    op.create_table(
        "nngpt_adapter",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("base_digest", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("corpus_hash", sa.Text(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("loss_first", sa.Double(), nullable=False),
        sa.Column("loss_last", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["nngpt_run.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "cycle"),
        sa.UniqueConstraint("name", name=op.f("uq_nngpt_adapter_name")),
    )
    op.create_table(
        "nngpt_attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=True),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("batch_index", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("generation_s", sa.Double(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.Column("code_digest", sa.Text(), nullable=True),
        sa.Column("written", sa.Text(), nullable=True),
        sa.Column("hyperparameters", sa.Text(), nullable=True),
        sa.Column("transform", sa.Text(), nullable=True),
        sa.Column("batch_size", sa.Integer(), nullable=True),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("claimed_parameters", sa.Integer(), nullable=True),
        sa.Column("evaluation_s", sa.Double(), nullable=True),
        sa.Column("peak_memory_mb", sa.Double(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("evaluation_seed", sa.Integer(), nullable=True),
        sa.Column("sandbox", sa.Text(), nullable=True),
        sa.Column("jaccard", sa.Double(), nullable=True),
        sa.Column("nearest", sa.Text(), nullable=True),
        sa.Column("duplicate", sa.Boolean(), nullable=True),
        sa.Column("refusal_stage", sa.Text(), nullable=True),
        sa.Column("refusal_reason", sa.Text(), nullable=True),
        sa.Column("refusal_detail", sa.Text(), nullable=True),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("updated", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('generated', 'parsed', 'validated', 'training', "
            "'trained', 'judged', 'admitted', 'refused')",
            name=op.f("ck_nngpt_attempt_state"),
        ),
        sa.ForeignKeyConstraint(
            ["code_digest"],
            ["nngpt_code.digest"],
        ),
        sa.ForeignKeyConstraint(
            ["prompt_hash"],
            ["nngpt_prompt.hash"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["nngpt_run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "run_id", "cycle", "place", name=op.f("uq_nngpt_attempt_run_id_cycle_place")
        ),
    )
    op.create_index(
        op.f("ix_nngpt_attempt_run_id_content_hash"),
        "nngpt_attempt",
        ["run_id", "content_hash"],
        unique=False,
    )
    op.create_index(
        op.f("ix_nngpt_attempt_run_id_cycle_state"),
        "nngpt_attempt",
        ["run_id", "cycle", "state"],
        unique=False,
    )
    op.create_table(
        "nngpt_admission",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["nngpt_attempt.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["nngpt_run.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "content_hash"),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_nngpt_admission_attempt_id")),
    )
    op.create_table(
        "nngpt_cycle",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("closed", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter"],
            ["nngpt_adapter.name"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["nngpt_run.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "cycle"),
    )
    op.create_table(
        "nngpt_epoch",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("correct", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("stat_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["nngpt_attempt.id"],
        ),
        sa.ForeignKeyConstraint(
            ["stat_id"],
            ["stat.id"],
        ),
        sa.PrimaryKeyConstraint("attempt_id", "epoch"),
    )
    op.create_table(
        "nngpt_transition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["nngpt_attempt.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_nngpt_transition_attempt_id"), "nngpt_transition", ["attempt_id"], unique=False
    )
