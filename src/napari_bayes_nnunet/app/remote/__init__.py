"""Segmentation of the open image on another computer."""
