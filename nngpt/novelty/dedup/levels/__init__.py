"""The ways to see a network as a set of shingles: one file each."""
