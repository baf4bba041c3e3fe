"""Searching folder trees for images and studies."""
