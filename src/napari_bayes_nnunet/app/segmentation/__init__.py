"""Segmentation of one image with an ensemble: members, methods, running posterior, result."""
