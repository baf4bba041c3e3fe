"""Views of the Review dock: queue, heat grid, numbers, curves and layers."""
