"""Add the loss of held-out networks before and after each fine-tuning."""

from nngpt.store.schema import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Execute `v0009_held_out.sql`."""
    run_script(__file__)
