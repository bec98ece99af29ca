"""A page in the browser that shows a run while it goes on; it reads, and never writes."""
