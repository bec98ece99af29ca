"""Tunes the LLM on what was admitted; one file per learner."""
