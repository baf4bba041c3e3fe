"""Which names mean the same structure: data sets agree neither on numbers nor on spelling."""

from __future__ import annotations

from collections.abc import Iterable

from .measurements import canonical_structure


def same_structure(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that means what ``name`` does; None if none does, or several do.

    The same name comes first, then the same but for capitals, then the same meaning.
    """
    names = list(names)
    if name in names:
        return name
    meaning = canonical_structure(name)
    for same in (
        lambda other: other.casefold() == name.casefold(),
        lambda other: meaning is not None and canonical_structure(other) == meaning,
    ):
        found = [other for other in names if same(other)]
        if len(found) == 1:
            return found[0]
    return None
