"""The Review dock: opening, saving and exporting studies."""
