"""Signals, and what is to be read from them."""
