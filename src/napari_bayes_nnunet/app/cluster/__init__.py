"""Dask clusters: connection to a scheduler, start of workers, distribution of studies."""
