"""What the dock Review shows: queue, heat grid, numbers, curves and picture."""
