"""Sources of pictures -> one memory-mapped array -> batches addressed by index -> augmented tensors."""
