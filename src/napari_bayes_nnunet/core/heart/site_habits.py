"""Habits of a site, learnt from labels that it has corrected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final, Literal, TypeAlias

import numpy as np

from ..counts import format_count
from ..editing.presence import slices_with
from ..types import LabelMap, Spacing
from .measurements import Structure
from .site_profile import (
    MOST_SLICES,
    SiteProfile,
    base_sentence,
    offset_sentence,
    perimeter,
)

AGREEING: Final = 0.75
"""Share of the studies that must agree, or nothing is learnt."""
ALIKE: Final = 0.5
"""Share of the median that a study must have, in the same direction, to agree with it."""
LEAST_MM: Final = 0.25
"""Median in mm below which a contour counts as the ensemble's."""
LEAST_SLICES: Final = 0.5
"""Median in slices below which a base counts as the ensemble's."""
CAVITIES: Final[tuple[Structure, ...]] = ("LV", "RV")
BORDERS: Final[tuple[Structure, ...]] = ("LV", "MYO", "RV")

EndPhase: TypeAlias = Literal["ED", "ES"]
Kind: TypeAlias = Literal["EF", "es_base", "offset_mm"]
Item: TypeAlias = tuple[Kind, Structure]
LabelPair: TypeAlias = tuple[LabelMap, LabelMap]
"""(Z, Y, X) labels of the ensemble without a profile, and the same as the site corrected them."""


@dataclass(frozen=True, kw_only=True)
class Habit:
    """Median of an item over the studies that show it, and how many ``agree`` with it."""

    value: float
    agree: int
    studies: int

    @classmethod
    def of_values(cls, values: Sequence[float], *, least: float) -> Habit:
        """Return the habit in one value for each study; a median below ``least`` is 0.

        A study agrees if its value is at least `ALIKE` of the median in the same direction; with a
        median of 0, if it is below ``least``, too.
        """
        middle = median(values)
        if abs(middle) < least:
            return cls(value=0, agree=sum(abs(v) < least for v in values), studies=len(values))
        agree = sum(value / middle >= ALIKE for value in values)
        return cls(value=middle, agree=agree, studies=len(values))

    @property
    def is_learnt(self) -> bool:
        """Whether enough of at least two studies agree."""
        return self.studies > 1 and self.agree >= AGREEING * self.studies


def observe(
    pairs: Mapping[EndPhase, LabelPair],
    heart: Mapping[Structure, int],
    spacing: Spacing,
    *,
    base_first: bool | None,
) -> dict[Item, float]:
    """Return what one study shows: by how much the corrected labels differ from the ensemble's.

    "es_base": slices by which a cavity begins lower; "offset_mm": mm by which a contour lies
    outside in the slices that both have, the difference of the areas divided by the perimeter;
    "EF": points. ``heart`` and ``spacing`` are as for `draw_by_profile`. Items that the study
    cannot show are left out.
    """
    shown: dict[Item, float] = {}
    for side in CAVITIES:
        if side not in heart:
            continue
        if "ES" in pairs and base_first is not None:
            own, corrected = (slices_with(np.asarray(x), heart[side]) for x in pairs["ES"])
            if len(own) and len(corrected):
                end = 0 if base_first else -1
                way = 1 if base_first else -1
                shown["es_base", side] = float(way * (corrected[end] - own[end]))
        counts = {
            end: [np.count_nonzero(labels == heart[side]) for labels in pair]
            for end, pair in pairs.items()
        }
        if len(counts) == 2 and all(counts["ED"]):
            # The share of voxels is enough, because both phases have one voxel size.
            before, after = (1 - es / ed for ed, es in zip(counts["ED"], counts["ES"], strict=True))
            shown["EF", side] = float(100 * (after - before))
    for name in BORDERS:
        if name in heart and not math.isnan(mm := _offset(pairs, heart, name, spacing)):
            shown["offset_mm", name] = mm
    return shown


def learn_profile(name: str, shown: Sequence[Mapping[Item, float]]) -> SiteProfile:
    """Return the profile of a site from what each study has shown, as `observe` returns it.

    The base at end-systole is learnt if at least `AGREEING` of the studies agree with the median.
    Studies that disagree leave it as the ensemble's, and the profile says so. A base that begins
    higher is said, but not drawn: nothing tells what the added slices would look like. Contours
    are said, but not drawn, because that lowers the error of the EF by less than a fifth
    (docs/how-to/profile.md).
    """
    es_base: dict[Structure, float] = {}
    said: list[str] = []
    items: dict[Kind, tuple[Structure, ...]]
    items = {"EF": CAVITIES, "es_base": CAVITIES, "offset_mm": BORDERS}
    for kind, structures in items.items():
        for structure in structures:
            values = [study[kind, structure] for study in shown if (kind, structure) in study]
            if not values:
                continue
            if kind == "EF":
                said.append(_bias(structure, values))
                continue
            habit = Habit.of_values(values, least=LEAST_MM if kind == "offset_mm" else LEAST_SLICES)
            said.append(_sentence(kind, structure, habit))
            if kind == "es_base" and habit.is_learnt and habit.value > 0:
                # A profile refuses more.
                es_base[structure] = min(habit.value, MOST_SLICES)
    return SiteProfile(name=name, es_base=es_base, learnt_from=len(shown), learnt=tuple(said))


def _bias(side: Structure, values: Sequence[float]) -> str:
    """Return by how much the site's EF differs: the bias of the ensemble at this site."""
    mean = fmean(values)
    way = "higher" if mean >= 0 else "lower"
    count = sum(value * mean > 0 for value in values)
    studies = f"{count} of {format_count(len(values), 'study', 'studies')}"
    return (
        f"Your {side} EF is on average {abs(mean):.1f} points {way} than the ensemble's: "
        f"{way} in {studies}."
    )


def _sentence(kind: Kind, structure: Structure, habit: Habit) -> str:
    word = base_sentence if kind == "es_base" else offset_sentence
    whose = "your" if kind == "es_base" else "Your"
    value = habit.value if kind == "es_base" else round(habit.value, 1)
    studies = f"{habit.agree} of {format_count(habit.studies, 'study', 'studies')}"
    sentence = word(whose, structure, value).rstrip(".")
    if habit.is_learnt:
        return f"{sentence}: {studies}."
    return f"{sentence} in {studies}: too few agree, so nothing was learnt."


def _offset(
    pairs: Mapping[EndPhase, LabelPair],
    heart: Mapping[Structure, int],
    name: Structure,
    spacing: Spacing,
) -> float:
    """Return the mean distance in mm of a contour of all phases; NaN without a common slice.

    The contour MYO is the epicardium, the outer border of myocardium and LV together.
    """
    labels = [heart[part] for part in ("MYO", "LV") if part in heart] if name == "MYO" else None
    gained = length = 0.0
    for pair in pairs.values():
        own, corrected = (np.isin(x, labels or [heart[name]]) for x in pair)
        both = own.any(axis=(1, 2)) & corrected.any(axis=(1, 2))
        gained += np.count_nonzero(corrected[both]) - np.count_nonzero(own[both])
        # Half of both, because the area between them lies along both.
        length += sum(perimeter(plane) for mask in (own, corrected) for plane in mask[both]) / 2
    return float(gained / length * (spacing[1] + spacing[2]) / 2) if length else math.nan
