"""The figures of a run's report, drawn with matplotlib."""
