"""Fixtures shared with other folders of tests."""

from sandbox_fixtures import splits, start

__all__ = ["splits", "start"]
