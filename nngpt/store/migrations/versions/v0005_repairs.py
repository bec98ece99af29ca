"""Add repairs: attempts that answer a refusal, counted apart from first answers."""

from nngpt.store.schema import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Execute `v0005_repairs.sql`."""
    run_script(__file__)
