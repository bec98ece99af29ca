"""The loop: generate networks, train and judge them, fine-tune the LLM on the admitted."""
