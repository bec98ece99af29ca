"""What the figures of a run say."""
