"""Executors that run experiments: in this process, in processes on this machine, or on a Ray cluster."""
