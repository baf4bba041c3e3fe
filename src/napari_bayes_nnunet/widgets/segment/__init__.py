"""The dock Segment."""
