"""What is done with whole runs: short experiments forked from a checkpoint."""
