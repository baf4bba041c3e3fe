"""Structures of the heart, their volumes and function."""
