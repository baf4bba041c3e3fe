"""Segmentation of files from the command line, with the output files."""
