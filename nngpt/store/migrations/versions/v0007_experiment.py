"""Add control arms, alarms, time and energy by activity, forecasts and confirmations."""

from nngpt.store.schema import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Execute `v0007_experiment.sql`."""
    run_script(__file__)
