"""Data sets as memory-mapped uint8 arrays; one file per data set."""
