"""Costlier measurements that produce signals every so often: of samples beside real images, and of weights."""
