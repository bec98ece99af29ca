"""Reports about near-duplicates in collections."""
