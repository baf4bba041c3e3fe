"""Preparation of public releases as nnU-Net datasets."""
