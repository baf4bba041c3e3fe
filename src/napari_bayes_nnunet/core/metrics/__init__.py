"""Overlap, distances, calibration and detection of errors."""
