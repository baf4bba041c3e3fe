"""napari layers: reading, writing, results and display."""
