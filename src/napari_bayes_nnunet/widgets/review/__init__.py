"""The dock Review: opening, saving and exporting studies."""
