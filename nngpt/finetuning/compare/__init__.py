"""Comparison of arms (the base model, adapters) on the same prompts, seeds and sample counts."""
