"""Supervised fine-tuning: a training loop over packed rows with loss on the answers only."""
