"""Bayesian nnU-Net for napari."""

__version__ = "0.1.0"
