"""Trackers, which show runs in other programs; one file each (plug-ins)."""
