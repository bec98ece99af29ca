"""The report of `nngpt learn compare`: figures, tables, page."""
