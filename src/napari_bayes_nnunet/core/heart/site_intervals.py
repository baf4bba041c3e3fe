"""Test of an ensemble's intervals at a site, and intervals from the site's own studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final, NamedTuple

from ..metrics.conformal import COVERAGES, chance_of_misses, conformal_quantile
from .site_profile import SiteProfile

MAIN: Final = "LV EF"
LEVEL: Final = 0.05
"""Level of the test of the LV EF; the other numbers share it once more (Bonferroni)."""
VOID: Final = (
    "The intervals do not hold here{scanner}: {name} was corrected by {mean} {unit} on average, "
    "and {missed} of {count} are outside the 90 % interval (p = {chance:.1g})."
)
HOLDS: Final = (
    "Nothing speaks against the intervals here{scanner}: {missed} of {count} of your {name} are "
    "outside their 90 % interval."
)
OTHER_CALIBRATIONS: Final = (
    "The studies have different calibrations, so their intervals were not compared."
)
SITE_WIDTH: Final = (
    "From {count} studies, the 90 % interval of the {name} at your site{scanner} is {factor:.1f} "
    "times that of the ensemble."
)


class NumberChange(NamedTuple):
    """Change of a number, in ``unit``, by the review of a study.

    ``left`` is the change of what the profile draws. ``bound`` is half of the 90 % interval of the
    ensemble before the review, fitted on ``patients``.
    """

    change: float
    left: float
    bound: float
    unit: str
    patients: int


class ReviewedStudy(NamedTuple):
    """Changes of a study by number, the checksum of its calibration, and its scanner or ""."""

    changes: Mapping[str, NumberChange]
    calibration: str
    scanner: str


def with_intervals(profile: SiteProfile, studies: Sequence[ReviewedStudy]) -> SiteProfile:
    """Return a learnt profile that says whether the intervals hold, and has those of the site.

    Each scanner has its own test and intervals. The half-widths of the site are conformal
    (`conformal_quantile`), of the changes as multiples of the ensemble's half-widths, and need 9
    studies. Whether the ensemble's hold is tested with `chance_of_misses`. Studies that have none
    do not count.
    """
    studies = [study for study in studies if study.changes]
    if len({study.calibration for study in studies}) > 1:
        return replace(profile, learnt=(OTHER_CALIBRATIONS, *profile.learnt))
    scanners = sorted({study.scanner for study in studies})
    said: list[str] = []
    void: list[str] = []
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    for scanner in scanners:
        own = [study for study in studies if study.scanner == scanner]
        names = dict.fromkeys(name for study in own for name in study.changes)
        shown = {name: [s.changes[name] for s in own if name in s.changes] for name in names}
        where = f" ({scanner or 'unknown scanner'})" if len(scanners) > 1 else ""
        level = LEVEL / max(len(shown) - 1, 1)
        for name, changes in shown.items():
            holds, sentence = _test(name, changes, LEVEL if name == MAIN else level, where)
            said += [sentence] if name == MAIN or not holds else []
            void += [] if holds else [sentence]
        if widths := _half_widths(shown):
            intervals[scanner] = widths
        if MAIN in widths:
            factor, count = widths[MAIN][1], len(shown[MAIN])
            said.append(SITE_WIDTH.format(name=MAIN, count=count, scanner=where, factor=factor))
    return replace(
        profile,
        learnt=(*said, *profile.learnt),
        void=tuple(void),
        intervals=intervals,
        calibration=studies[0].calibration if intervals else "",
    )


def _half_widths(
    shown: Mapping[str, Sequence[NumberChange]],
) -> dict[str, tuple[float, float]]:
    """Return the half-widths at 80 and 90 % of each number that has enough studies."""
    widths = {}
    for name, changes in shown.items():
        sizes = [abs(change.left) / change.bound for change in changes]
        low, high = (conformal_quantile(sizes, level) for level in COVERAGES)
        if low and high:  # not from studies that nobody has changed
            widths[name] = low, high
    return widths


def _test(
    name: str, changes: Sequence[NumberChange], level: float, scanner: str
) -> tuple[bool, str]:
    """Return whether the intervals of a number hold, and a sentence on it."""
    missed, count = sum(abs(change.change) > change.bound for change in changes), len(changes)
    # Fewer patients make misses less surprising, so the smallest number is the cautious one.
    chance = chance_of_misses(
        missed, count, min(change.patients for change in changes), COVERAGES[-1]
    )
    values = {"name": name, "missed": missed, "count": count, "scanner": scanner}
    if chance > level:
        return True, HOLDS.format(**values)
    mean = f"{fmean(change.change for change in changes):+.1f}".replace("-", "−")
    unit = changes[0].unit.replace("%", "points")
    return False, VOID.format(mean=mean, unit=unit, chance=chance, **values)
