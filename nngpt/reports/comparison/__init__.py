"""Comparisons of adapters on the same prompts."""
