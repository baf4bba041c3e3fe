"""Segmentation of all studies in a folder tree, with a table and a page."""
