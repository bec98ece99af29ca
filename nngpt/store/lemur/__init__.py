"""LEMUR's corpus in our database: import, export and queries."""
