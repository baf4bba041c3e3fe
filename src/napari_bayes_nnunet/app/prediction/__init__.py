"""Segmentation of image files into an output folder."""
