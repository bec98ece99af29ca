"""One-shot prediction of hyperparameters, and how much accuracy a choice gives away."""
