"""Create the tables of the block index: libraries, files and classes."""

from nngpt.store.schema import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Execute `v0006_blocks.sql`."""
    run_script(__file__)
