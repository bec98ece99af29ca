"""A code LLM designs PyTorch networks, nngpt judges them, and the LLM learns from what worked."""

__version__ = "0.1.0"
