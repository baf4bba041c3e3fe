"""Segmentation of all studies in a folder tree: the run, its table and its page."""
