"""Benchmarks that are too long or too noisy for the tests; each writes ``benchmarks/results/NAME.json``."""
