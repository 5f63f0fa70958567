"""Costlier measurements that produce signals every so often: of samples beside real pictures, and of weights."""
