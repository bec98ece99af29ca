"""Corpora of synthetic networks, from which the adapter that comes with nngpt was trained."""
