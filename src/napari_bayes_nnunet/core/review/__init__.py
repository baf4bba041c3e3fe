"""The review queue: scores of slices, order and progress."""
