"""Callbacks observe a training and return requests; only the trainer acts on them."""
