"""Comparisons of experiment arms over seeds."""
