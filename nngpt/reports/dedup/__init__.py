"""The report of `nngpt dedup`: page, figures, tables."""
