"""Predictions and reference labels on disk."""
