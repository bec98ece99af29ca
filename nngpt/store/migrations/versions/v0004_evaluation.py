"""Add the evaluator's other measurements, and the results of training with nngpt's own loop."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add columns to attempts; they are empty for earlier evaluations."""
    for name, kind in (
        ("cpu_s", sa.Double()),
        ("claimed_flops", sa.Integer()),
        ("claimed_latency_ms", sa.Double()),
        ("claimed_batches", sa.Integer()),
        ("protocol", sa.Text()),
        ("trials", sa.Text()),
        ("retrained_accuracy", sa.Double()),
        ("retrained_total", sa.Integer()),
        ("retrained_seed", sa.Integer()),
        ("retrained_s", sa.Double()),
        ("retrained_cpu_s", sa.Double()),
        ("retrained_reason", sa.Text()),
    ):
        op.add_column("nngpt_attempt", sa.Column(name, kind, nullable=True))
    begun = sa.Column("retrainings", sa.Integer(), nullable=False, server_default="0")
    op.add_column("nngpt_attempt", begun)
