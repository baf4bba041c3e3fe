"""The window that segments a folder."""
