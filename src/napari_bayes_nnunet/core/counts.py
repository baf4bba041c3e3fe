"""Numbers of things in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PHASES_NAMED: Final = 4
"""Maximum number of phases that a sentence lists rather than counts."""


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return a number of things in words.

    >>> format_count(1, "volume"), format_count(2, "study", "studies")
    ('1 volume', '2 studies')
    """
    return f"1 {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def phase_names(phases: Iterable[int | None]) -> str:
    """Return phases for a sentence: "phase 7", "phases 7, 20" or, if many, "25 phases"."""
    numbers = sorted(phase for phase in phases if phase is not None)
    if len(numbers) > PHASES_NAMED:
        return f"{len(numbers)} phases"
    return f"phase{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
