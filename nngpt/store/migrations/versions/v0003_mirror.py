"""Create tables for what the mirror stores beyond LEMUR's own tables."""

from nngpt.store.schema import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Execute `v0003_mirror.sql`."""
    run_script(__file__)
