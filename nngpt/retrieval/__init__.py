"""Retrieve PyTorch blocks: extract any class of a library as one self-contained file."""
