"""Sources of images -> one memory-mapped array -> batches addressed by index -> augmented tensors."""
