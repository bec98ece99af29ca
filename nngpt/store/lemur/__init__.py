"""The mirror of the LEMUR data set: import, export, queries."""
