"""Public releases as nnU-Net datasets."""
