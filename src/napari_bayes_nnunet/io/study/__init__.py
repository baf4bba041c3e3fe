"""Study folders: a segmentation and its review."""
