"""Console tables, one file a subject."""
