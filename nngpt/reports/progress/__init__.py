"""Progress of long work on the console."""
