"""Let runs without the novelty filter admit copies of a network."""

from nngpt.store.schema import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Execute `v0012_copies.sql`."""
    run_script(__file__)
