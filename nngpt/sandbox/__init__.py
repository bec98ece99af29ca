"""Runs generated code, and only here; one file per executor."""
