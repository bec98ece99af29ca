"""Add the zero-cost proxies of trained candidates, as JSON."""

from nngpt.store.schema import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Execute `v0012_proxies.sql`."""
    run_script(__file__)
