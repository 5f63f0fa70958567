"""Broken recipes, mended by a treatment, by searches, by the guides' order, and by a treatment whose diagnosis is shuffled."""
