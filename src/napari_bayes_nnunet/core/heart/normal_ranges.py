"""Normal ranges of the numbers of a heart, and the comparison of a number with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from .function import INDEXED, QUANTITIES, Comparison, Measured, Patient

RANGE_KINDS: Final = ("abnormal beyond", "95 % interval", "mean and SD")
"""Kinds of ranges; a number is compared with the first that is known."""
SEXES: Final = {"m": "Men", "f": "Women"}
LOW, HIGH = "▼ low", "▲ high"
SDS: Final = 1.96
"""Standard deviations from the mean to the limits of a range of the kind "mean and SD"."""
ALL_AGES: Final = (0.0, math.inf)
SOURCE: Final = "Normal ranges: {source}."
AGE_UNKNOWN: Final = "Age not known: the normal ranges of {names} are for {ages} years."
OTHER_AGE: Final = "The normal ranges of {names} are not for a patient aged {age}."
ALL_NUMBERS: Final = "all numbers"
UNITS: Final = {
    f"{side} {name}{per}": quantity.unit + per.replace("BSA", "m2")
    for side in ("LV", "RV")
    for name, quantity in QUANTITIES.items()
    for per in ("", "/BSA")
    if name != "volume"  # is of an unknown phase
    and (side, name) != ("RV", "mass")  # is not measured
    and (not per or name in INDEXED)
}
"""Unit of each quantity that can be compared, such as "LV EDV/BSA": "mL/m2"."""


@dataclass(frozen=True, kw_only=True)
class NormalRange:
    """Normal range of a ``quantity`` ("LV EDV/BSA") from ``low`` to ``high``, both included.

    ``sex`` is "m" or "f", ``kind`` one of `RANGE_KINDS`; ``ages`` are the first and the last year
    of age.
    """

    quantity: str
    sex: str
    kind: str
    low: float
    high: float
    ages: tuple[float, float] = ALL_AGES

    def is_for(self, age: float | None) -> bool:
        """Return whether the range holds at an age in years; at an unknown age it does."""
        # Ages count in whole years.
        return age is None or self.ages[0] <= math.floor(age) <= self.ages[1]


@dataclass(frozen=True, kw_only=True)
class NormalRanges:
    """Set of normal ranges with its ``source``; papillary muscles count as blood in it."""

    source: str = ""
    ranges: Sequence[NormalRange] = ()

    def describe(self, patient: Patient) -> tuple[str, ...]:
        """Return sentences on the source, and on numbers whose ranges are for other ages."""
        if not self.ranges:
            return ()
        age, source = patient.age, SOURCE.format(source=self.source)
        own = [r for r in self.ranges if patient.sex in (None, r.sex)]
        fitting = [r for r in own if (r.ages == ALL_AGES if age is None else r.is_for(age))]
        known = {r.quantity for r in fitting}
        others = [r for r in own if r.quantity not in known]
        if not others:
            return (source,)
        names = ", ".join(dict.fromkeys(r.quantity for r in others)) if known else ALL_NUMBERS
        if age is not None:
            return source, OTHER_AGE.format(names=names, age=math.floor(age))
        first, last = min(r.ages[0] for r in others), max(r.ages[1] for r in others)
        return source, AGE_UNKNOWN.format(names=names, ages=f"{first:g} to {last:g}")


def compare(measured: Measured, patient: Patient, ranges: NormalRanges) -> Comparison | None:
    """Return the comparison of a number with its range; None if no range fits the patient.

    A number of an image of one unknown phase has none. With an unknown sex, a number is low or high
    if it is so for both.
    """
    sexes = (patient.sex,) if patient.sex else (*SEXES,)
    found = {sex: _find_range(measured.name, sex, patient.age, ranges) for sex in sexes}
    known = {sex: normal for sex, normal in found.items() if normal is not None}
    if not known or None in measured.phases:
        return None
    sides = [_side(measured.value, normal) for normal in known.values()]
    verdict = sides[0] if sides == [sides[0]] * len(sexes) else ""
    ends = {sex: (_limit(n.low), _limit(n.high)) for sex, n in known.items()}
    texts = {sex: "–".join(end) for sex, end in ends.items()}
    limits = {sex: f"{' to '.join(end)} {measured.unit}" for sex, end in ends.items()}
    kinds = {sex: n.kind.replace(" and SD", f" ± {SDS} SD") for sex, n in known.items()}
    lines = (f"{SEXES[sex]}: {limits[sex]} ({kinds[sex]})." for sex in known)
    title = "Normal" if patient.sex else "\n".join(SEXES.values())
    text, notes = "\n".join(texts.get(sex, "–") for sex in sexes), ranges.describe(patient)
    return Comparison(title=title, text=text, lines=(*lines,), notes=notes, verdict=verdict)


def _side(value: float, normal: NormalRange) -> str:
    """Return whether a number is outside its range as both are shown, with one decimal."""
    low, shown, high = (round(number, 1) for number in (normal.low, value, normal.high))
    return LOW if shown < low else HIGH if shown > high else ""


def _find_range(name: str, sex: str, age: float | None, ranges: NormalRanges) -> NormalRange | None:
    """Return the range of the first known kind; at an unknown age, it holds all ages."""
    side, _, short = name.partition(" ")
    quantities = {index: f"{plain}/BSA" for plain, index in INDEXED.items()}
    of = f"{side} {quantities.get(short, short)}", sex
    fitting = [r for r in ranges.ranges if (r.quantity, r.sex) == of and r.is_for(age)]
    for kind in RANGE_KINDS:
        if same := [r for r in fitting if r.kind == kind]:
            return replace(same[0], low=min(r.low for r in same), high=max(r.high for r in same))
    return None


def _limit(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
