"""The executors of these tests."""

from execution_fixtures import splits, start

__all__ = ["splits", "start"]
