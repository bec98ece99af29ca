"""Add the evaluator's other measurements, and the results of training with nngpt's own loop."""

from nngpt.store.schema import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Execute `v0004_evaluation.sql`."""
    run_script(__file__)
