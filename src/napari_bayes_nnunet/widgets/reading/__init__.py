"""Views of the dock Review: queue, heat grid, numbers, curves and layers."""
