"""Remedies: the playbooks of the families and of the literature, and what one remedy makes of a run's settings."""
