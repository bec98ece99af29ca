"""Create nngpt's own tables: runs, prompts, attempts, adapters and the audit trail."""

from nngpt.store.schema import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Execute `v0002_own.sql`."""
    run_script(__file__)
