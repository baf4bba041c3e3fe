"""Warnings about numbers that no heart has, the same in every report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from ...core.heart.plausibility import STROKE_SHARE

SAME_PHASE: Final = "ED and ES are the same phase. Choose two phases to get stroke volume and EF."
NO_STROKE: Final = (
    "The {side} has {edv:.1f} mL at ED and {esv:.1f} mL at ES, which no heart has. Check whether "
    "the phases are swapped, and their labels."
)
STROKES_DIFFER: Final = (
    "The stroke volumes of LV ({LV:.1f} mL) and RV ({RV:.1f} mL) differ more than in a heart "
    "without a shunt. Check the labels of both."
)

GRIDS_DIFFER: Final = (
    "The images of ED and ES differ in size, voxels or position ({grids}), as if slices were "
    "missing or one header were wrong. Check both."
)


def number_warnings(
    numbers: Mapping[str, float], *, same_phase: bool = False, grids: Collection[str] = ()
) -> Iterator[str]:
    """Yield a sentence for each finding in the numbers of a heart.

    ``numbers`` has "LV EDV", "LV ESV", "RV EDV" and "RV ESV" in mL, as far as known. ``same_phase``
    is whether one phase counts as end-diastole and end-systole. ``grids`` are those of the images
    of ED and ES, as far as known.
    """
    if len(set(grids)) > 1:
        yield GRIDS_DIFFER.format(grids="; ".join(grids))
    if same_phase:
        yield SAME_PHASE
    strokes = {}
    for side in ("LV", "RV"):
        edv, esv = numbers.get(f"{side} EDV"), numbers.get(f"{side} ESV")
        if edv is not None and esv is not None:
            strokes[side] = edv - esv
            if not 0 < esv < edv:
                yield NO_STROKE.format(side=side, edv=edv, esv=esv)
    if len(strokes) == 2 and 0 < min(strokes.values()) < STROKE_SHARE * max(strokes.values()):
        yield STROKES_DIFFER.format(**strokes)
