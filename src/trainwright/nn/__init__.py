"""Blocks that two or more families share."""
