"""Measurements of a heart: volumes, their spread over the members, end-diastole and systole."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import InputError

Structure = Literal["RV", "MYO", "LV"]

# Label names are read word by word. A name with another word (atrium, epicardium, scar), or with a
# combination that is not listed below (RV myocardium), is not one of the three structures.
_MEANINGS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("of", "the", "heart", "cardiac"), frozenset[str]()),
    **dict.fromkeys(("left", "l"), frozenset({"left"})),
    **dict.fromkeys(("right", "r"), frozenset({"right"})),
    **dict.fromkeys(("ventricle", "ventricular", "v"), frozenset({"ventricle"})),
    **dict.fromkeys(
        ("cavity", "chamber", "blood", "pool", "bloodpool", "bp", "endo", "endocardium",
         "endocardial"),
        frozenset({"cavity"}),
    ),
    **dict.fromkeys(
        ("myocardium", "myocardial", "myocard", "myo", "muscle", "wall"),
        frozenset({"myocardium"}),
    ),
    "lv": frozenset({"left", "ventricle"}),
    "rv": frozenset({"right", "ventricle"}),
    # For LVC and LVM; alone they are not a structure.
    "c": frozenset({"ventricle", "cavity"}),
    "m": frozenset({"ventricle", "myocardium"}),
}  # fmt: skip

_STRUCTURES: Mapping[frozenset[str], Structure] = {
    frozenset({"right", "ventricle"}): "RV",
    frozenset({"right", "ventricle", "cavity"}): "RV",
    frozenset({"left", "ventricle"}): "LV",
    frozenset({"left", "ventricle", "cavity"}): "LV",
    frozenset({"myocardium"}): "MYO",
    frozenset({"left", "myocardium"}): "MYO",
    frozenset({"left", "ventricle", "myocardium"}): "MYO",
}


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Variation of a measurement over the members.

    It is not a clinical confidence interval. ``standard_deviation`` is that of a sample (n-1), and
    NaN for a single member, whose spread is unknown rather than 0.
    """

    mean: float
    standard_deviation: float
    minimum: float
    maximum: float


def measure_spread(values: Sequence[float]) -> Spread:
    """Return the spread of one value per member."""
    measured = np.asarray(values, dtype=np.float64)
    return Spread(
        mean=float(measured.mean()),
        standard_deviation=float(measured.std(ddof=1)) if len(measured) > 1 else math.nan,
        minimum=float(measured.min()),
        maximum=float(measured.max()),
    )


def volumes_ml(
    labels: NDArray[np.integer], spacing: Sequence[float], structures: Mapping[str, int]
) -> dict[str, float]:
    """Return the volume of each structure (name: label), mL.

    ``labels`` (Z, Y, X), ``spacing`` (z, y, x) in mm between slices and voxels.
    """
    ml = voxel_ml(spacing)
    return {
        name: float(np.count_nonzero(labels == label) * ml) for name, label in structures.items()
    }


def voxel_ml(spacing: Sequence[float]) -> float:
    """Return the volume of a voxel of a ``spacing`` in mm, mL."""
    return math.prod(float(side) for side in spacing) / 1000


def end_diastole_and_systole(lv_volumes_per_phase: Sequence[float]) -> tuple[int, int]:
    """Return the phases, from 1, of the largest and the smallest LV volume.

    The earlier of equal phases is taken. Phases without an LV (0 or NaN mL) are ignored, because
    that is not a contraction. Raises InputError if no phase has an LV.
    """
    volumes = {phase: ml for phase, ml in enumerate(lv_volumes_per_phase, start=1) if ml > 0}
    if not volumes:
        raise InputError(
            "No LV was found in {count} phases, so end-diastole and end-systole are unknown.",
            count=len(lv_volumes_per_phase),
        )
    return max(volumes, key=volumes.__getitem__), min(volumes, key=volumes.__getitem__)


def canonical_structure(name: str) -> Structure | None:
    """Return RV, MYO or LV for a label name of a ``dataset.json``, None for any other structure.

    RV and LV are the cavities, MYO is the wall of the left ventricle, as in ACDC and M&Ms.
    Structures are compared by their names, because numbers differ between datasets.
    """
    words = _words(name)
    if not all(word in _MEANINGS for word in words):
        return None
    return _STRUCTURES.get(frozenset().union(*(_MEANINGS[word] for word in words)))


def _words(name: str) -> list[str]:
    """Return the words in lower case, even of LeftVentricle, heart_ventricle_left and LVmyo."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name).casefold()
    return re.sub(r"\b([lr]v)(?=[a-z])", r"\1 ", separated).split()
