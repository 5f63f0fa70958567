"""One loop a file: the report's mistake in our own code, and the same loop repaired."""
