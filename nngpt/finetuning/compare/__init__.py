"""Compares arms (the frozen base, adapters) on the same prompts, seeds and number of samples."""
