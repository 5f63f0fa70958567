"""Pages and texts for people: one self-contained page for each run, study and comparison."""
