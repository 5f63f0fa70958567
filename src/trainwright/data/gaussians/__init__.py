"""Images as sets of 2-D Gaussians: rendering, fitting, stored sets, canonical forms, and batches for training."""
