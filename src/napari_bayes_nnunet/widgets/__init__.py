"""Docks and layers in napari: thin views, no torch and no nnunetv2."""
