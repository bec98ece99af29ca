"""Contestants of benchmarks/search.py: each makes one trained network of a data set in a budget."""
