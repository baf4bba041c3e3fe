"""Archives in the window: studies are found, fetched and opened, and files are sent."""
