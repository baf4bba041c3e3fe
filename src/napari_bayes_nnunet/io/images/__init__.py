"""NIfTI images and their geometry."""
