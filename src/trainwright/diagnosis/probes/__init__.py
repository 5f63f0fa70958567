"""Periodic, more expensive measurements: samples compared with real images."""
