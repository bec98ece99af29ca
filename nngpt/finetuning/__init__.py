"""Fine-tune the LLM: on admitted networks, on rewards of executions, and on preferences."""
