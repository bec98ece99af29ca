"""Deduplication levels: one file per way of converting code to shingles."""
