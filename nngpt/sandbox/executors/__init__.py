"""Executors, one file each (plug-ins)."""
