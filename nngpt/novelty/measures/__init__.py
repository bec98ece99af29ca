"""Novelty measures, one file each (plug-ins)."""
