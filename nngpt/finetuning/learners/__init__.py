"""Learners, one file each (plug-ins)."""
