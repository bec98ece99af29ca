"""Near-duplicates in a collection of networks: found, explained, removed."""
