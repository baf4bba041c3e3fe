"""Segmentation on another computer by ssh, with the messages of the inference child."""
