"""napari layers: reading, writing, results and how they are shown."""
