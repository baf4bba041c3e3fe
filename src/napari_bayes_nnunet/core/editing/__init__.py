"""Corrections of labels: levels, alternatives, contours and interpolation."""
