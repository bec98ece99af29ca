"""Tables, figures and pages about runs, comparisons, experiments and collections."""
