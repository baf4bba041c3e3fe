"""Parts shared by all docks."""
