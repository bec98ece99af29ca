"""Add the zero-cost proxies of trained candidates, as JSON."""

from nngpt.store.schema import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Execute `v0013_proxies.sql`."""
    run_script(__file__)
