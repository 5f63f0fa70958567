"""Diagnosis of training runs: symptoms, causes, preflight checks and readers of foreign logs."""
