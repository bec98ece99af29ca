"""Add the limit on the own seconds of a run's trainings."""

from nngpt.store.schema import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Execute `v0008_limit.sql`."""
    run_script(__file__)
