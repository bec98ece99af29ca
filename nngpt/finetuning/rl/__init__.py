"""Reinforcement learning on real executions: GRPO through TRL, on the prompt of a task."""
