"""Ensemble, model and run folders."""
