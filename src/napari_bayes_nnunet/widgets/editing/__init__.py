"""Correction tools of the dock *Review*."""
