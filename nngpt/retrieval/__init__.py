"""Retrieval of PyTorch blocks: any class of a library as one self-contained file."""
