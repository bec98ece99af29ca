"""Prove nngpt on a GPU in one short visit: `scripts/gpu-proof`."""
