"""Numbers of things in words."""

from __future__ import annotations


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return a number of things in words.

    >>> format_count(1, "volume"), format_count(2, "study", "studies")
    ('1 volume', '2 studies')
    """
    return f"1 {noun}" if count == 1 else f"{count} {plural or noun + 's'}"
