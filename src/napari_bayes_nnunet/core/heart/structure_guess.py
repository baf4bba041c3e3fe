"""Guess at the structure of each label value, from its shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .measurements import Structure, canonical_structure
from .structures import match_structure

ENCLOSED: Final = 0.5
"""Share of the LV that lies inside the ring of the MYO; the ring is open at the base."""
BESIDE: Final = 0.5
"""Share of the slices with MYO and RV in which they touch."""
MOST_STRUCTURES: Final = 8
"""Maximum number of values in which a heart is sought, because every pair is compared."""
HEART_STRUCTURES: Final[tuple[Structure, ...]] = ("RV", "MYO", "LV")


def guess_structures(labels: NDArray[Any]) -> dict[int, Structure]:
    """Return value → structure of (Z, Y, X) labels of a short-axis stack, {} if unclear.

    The value that encloses another in most of its slices is the MYO, and the enclosed one the LV.
    If there is exactly one more value and it touches the MYO, it is the RV. Among more than
    `MOST_STRUCTURES` values, as in an image taken for labels, nothing is guessed.
    """
    boxes = ndimage.find_objects((labels > 0).astype(np.uint8))
    labels = labels[boxes[0]] if boxes else labels
    values = [value for value in np.unique(labels).tolist() if value]
    if len(values) > MOST_STRUCTURES:
        return {}
    enclosed = {
        (ring, inside): share
        for ring in values
        for inside in values
        if ring != inside and (share := _enclosed_share(labels, ring, inside)) >= ENCLOSED
    }
    if not enclosed:
        return {}
    myo, lv = max(enclosed, key=enclosed.__getitem__)
    guess: dict[int, Structure] = {myo: "MYO", lv: "LV"}
    others = [value for value in values if value not in guess]
    if len(others) == 1 and _touching_share(labels, myo, others[0]) >= BESIDE:
        guess[others[0]] = "RV"
    return guess


def vote_structures(guesses: Iterable[Mapping[int, Structure]]) -> dict[int, Structure]:
    """Return the guess that most cases agree on for each value; no structure is used twice."""
    votes = Counter((value, name) for guess in guesses for value, name in guess.items())
    chosen: dict[int, Structure] = {}
    for (value, name), _ in votes.most_common():
        if value not in chosen and name not in chosen.values():
            chosen[value] = name
    return dict(sorted(chosen.items()))


def lacks_lv(names: Iterable[str]) -> bool:
    """Return whether no structure is the LV, without which there are no ED, ES and EF."""
    return not any(canonical_structure(name) == "LV" for name in names)


def propose_names(names: Mapping[int, str], guess: Mapping[int, Structure]) -> dict[int, str]:
    """Return ``names`` of values, with the guess for names that do not mean RV, MYO or LV.

    A guess that another value already has as its name is not used.
    """
    known = {value: name for value, name in names.items() if canonical_structure(name)}
    free = {
        value: name
        for value, name in guess.items()
        if value in names and value not in known and match_structure(name, known.values()) is None
    }
    return {value: free.get(value, name) for value, name in names.items()}


def _enclosed_share(labels: NDArray[Any], ring: int, inside: int) -> float:
    within = total = 0
    for plane in labels:
        pool = plane == inside
        if pool.any():
            filled = ndimage.binary_fill_holes(plane == ring)
            within += int(np.count_nonzero(filled & pool))
            total += int(np.count_nonzero(pool))
    return within / total if total else 0.0


def _touching_share(labels: NDArray[Any], first: int, second: int) -> float:
    touching = both = 0
    for plane in labels:
        first_mask, second_mask = plane == first, plane == second
        if first_mask.any() and second_mask.any():
            both += 1
            touching += bool((ndimage.binary_dilation(first_mask) & second_mask).any())
    return touching / both if both else 0.0
