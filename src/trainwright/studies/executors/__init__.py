"""Where experiments are run: processes on this machine, or a Ray cluster."""
