"""A made study to review."""

from ...helpers.data.cines import folder, session

__all__ = ["folder", "session"]
