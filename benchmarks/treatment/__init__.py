"""Broken recipes, repaired by treatment, by searches, by the guides' order, and by treatment with random diagnoses."""
