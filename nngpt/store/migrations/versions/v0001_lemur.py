"""Create LEMUR's tables."""

from nngpt.store.schema import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Execute `v0001_lemur.sql`."""
    run_script(__file__)
