"""Data sets as memory-mapped uint8 arrays, with one file per data set in `sources`."""
