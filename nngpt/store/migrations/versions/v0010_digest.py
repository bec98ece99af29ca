"""Create the table of digests, by which damaged rows are found."""

from nngpt.store.schema import run_script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Execute `v0010_digest.sql`."""
    run_script(__file__)
