"""Dask clusters: connecting to a scheduler, starting workers, distributing studies to them."""
