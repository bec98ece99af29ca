"""The executors, and the embedded model, of these tests."""

from sandbox_fixtures import splits, start

__all__ = ["splits", "start"]
