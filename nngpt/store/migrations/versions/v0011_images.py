"""Add the names of a run's classes, and the digest of its images."""

from nngpt.store.schema import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Execute `v0011_images.sql`."""
    run_script(__file__)
