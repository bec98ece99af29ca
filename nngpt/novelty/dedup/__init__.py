"""Find, explain and remove near-duplicates in a collection of networks."""
