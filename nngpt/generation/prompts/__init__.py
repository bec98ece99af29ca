"""What the LLM is asked: which examples and which parent a prompt shows, and what a repair says."""
