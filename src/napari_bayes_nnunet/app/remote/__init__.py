"""Segmentation on another computer, by the inference child's own messages through ssh."""
