"""Console tables and their JSON, one file per subject."""
