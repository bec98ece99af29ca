"""Containment layers, one file per kernel feature; `nngpt.sandbox.containment` applies them."""
