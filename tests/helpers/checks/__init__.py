"""Tables and parsers of what tests compare."""
