"""Containment, one small file for each thing the kernel offers.

`nngpt.sandbox.limits` puts them together in the one order in which they work.
"""
