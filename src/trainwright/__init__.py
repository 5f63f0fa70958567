"""Trainwright trains generative models on small data and keeps the training from going wrong."""

__version__ = "0.1.0"
