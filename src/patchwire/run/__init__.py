"""Long-running work: the batch and its journal."""
