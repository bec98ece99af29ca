"""Turns what is in the store into tables and figures."""
