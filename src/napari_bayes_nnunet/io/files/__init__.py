"""Atomic writing, JSON and names of files."""
