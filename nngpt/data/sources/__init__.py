"""Data sets, one file each (plug-ins)."""
