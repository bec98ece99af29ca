"""Alembic environment; the connection, already in a transaction, comes from `store.schema`."""

from __future__ import annotations

from alembic import context

from nngpt.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
context.run_migrations()
