"""Choosing hyperparameters for a network, and benchmarks of the engines that choose them."""
