"""The executors of these tests."""

from sandbox_fixtures import splits, start

__all__ = ["splits", "start"]
