"""Containment, one small file for each thing the kernel offers.

`nngpt.sandbox.containment` puts them together in the one order in which they work.
"""
