"""Observation of a training loop from outside: its networks, optimizers, gradients, losses and calls.

Everything here reads; nothing is changed in the loop. :class:`~trainwright.diagnosis.observing.observer.Observer` puts it together.
"""
