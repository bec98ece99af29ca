"""Containment layers, one file per kernel feature.

`nngpt.sandbox.containment` applies them in the only order in which they work.
"""
