"""Correction tools of the *Review* dock."""
