"""Prompts: templates, examples and library blocks, the prompts of a cycle, and repairs."""
