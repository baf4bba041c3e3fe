"""Names of structures: datasets differ in numbers and in spelling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .measurements import Structure, canonical_structure

HEART_STRUCTURES: Final[tuple[Structure, ...]] = ("RV", "MYO", "LV")


def lacks_lv(names: Iterable[str]) -> bool:
    """Return whether no structure is the LV, without which there are no ED, ES and EF."""
    return not any(canonical_structure(name) == "LV" for name in names)


def match_structure(name: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` that means the same structure as ``name``.

    An equal name comes first, then an equal name apart from capitals, then an equal meaning. None
    if no name or several names match.
    """
    names = list(names)
    if name in names:
        return name
    meaning = canonical_structure(name)
    for matches in (
        lambda candidate: candidate.casefold() == name.casefold(),
        lambda candidate: meaning is not None and canonical_structure(candidate) == meaning,
    ):
        matching = [candidate for candidate in names if matches(candidate)]
        if len(matching) == 1:
            return matching[0]
    return None


# Okabe and Ito's palette, which is distinct with every kind of colour blindness. The colours of RV,
# MYO and LV also stand out from grey and from the reds of the entropy map.
CARDIAC: Final[Mapping[Structure, str]] = {"RV": "#56B4E9", "MYO": "#009E73", "LV": "#F0E442"}
OTHERS: Final = ("#CC79A7", "#0072B2", "#E69F00", "#D55E00", "#FFFFFF")
_WORDS: Final[Mapping[Structure, str]] = {
    "RV": "right ventricle",
    "MYO": "LV myocardium",
    "LV": "left ventricle, cavity",
}


def structure_colors(labels: Mapping[str, int]) -> dict[int, str]:
    """Return "#RRGGBB" for each label above 0 in ``labels`` (name: label)."""
    structures = {name: label for name, label in labels.items() if label != 0}
    meanings = {label: canonical_structure(name) for name, label in structures.items()}
    unnamed = [label for label in sorted(meanings) if meanings[label] is None]
    palette = {label: OTHERS[i % len(OTHERS)] for i, label in enumerate(unnamed)}
    return {
        label: CARDIAC[structure] if structure else palette[label]
        for label, structure in sorted(meanings.items())
    }


def structure_title(name: str) -> str:
    """Return ``name`` with its usual synonym, such as "LVC (LV: left ventricle, cavity)"."""
    structure = canonical_structure(name)
    if structure is None:
        return name
    short = "" if name.upper() == structure else f"{structure}: "
    return f"{name} ({short}{_WORDS[structure]})"
