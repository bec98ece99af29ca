"""${message}"""

from nngpt.store.schema import run_script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Execute the SQL script of this file's name."""
    run_script(__file__)
