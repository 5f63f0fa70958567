"""Callbacks: what observes a training. They return requests; only the trainer acts."""
