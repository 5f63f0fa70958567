"""Training: one loop for every family, and what it needs."""
