"""Stage 1: prompts, language models, and the contract that turns answers into candidates."""
