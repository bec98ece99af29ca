"""The figures of a run with their intervals, computed from its records; nothing is drawn."""
