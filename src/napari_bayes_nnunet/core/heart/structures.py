"""Which names mean the same structure: data sets agree neither on numbers nor on spelling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .measurements import Structure, canonical_structure


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


# Okabe and Ito's palette: told apart with every kind of colour blindness. The three of the heart
# also stand out from grey and from the reds of the entropy map.
CARDIAC: Final[Mapping[Structure, str]] = {"RV": "#56B4E9", "MYO": "#009E73", "LV": "#F0E442"}
OTHERS: Final = ("#CC79A7", "#0072B2", "#E69F00", "#D55E00", "#FFFFFF")
_WORDS: Final[Mapping[Structure, str]] = {
    "RV": "right ventricle",
    "MYO": "LV myocardium",
    "LV": "left ventricle, cavity",
}


def structure_colors(labels: Mapping[str, int]) -> dict[int, str]:
    """Label → "#RRGGBB" of every structure in ``labels`` (name → label), background left out."""
    structures = {name: label for name, label in labels.items() if label != 0}
    known = {label: canonical_structure(name) for name, label in structures.items()}
    others = [label for label in sorted(known) if known[label] is None]
    palette = {label: OTHERS[i % len(OTHERS)] for i, label in enumerate(others)}
    return {
        label: CARDIAC[structure] if structure else palette[label]
        for label, structure in sorted(known.items())
    }


def structure_title(name: str) -> str:
    """``name`` of a ``dataset.json`` with its usual synonym: "LVC (LV: left ventricle, cavity)"."""
    structure = canonical_structure(name)
    if structure is None:
        return name
    short = "" if name.upper() == structure else f"{structure}: "
    return f"{name} ({short}{_WORDS[structure]})"
