"""Test of an ensemble's intervals at a site, and intervals from the site's own studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final, NamedTuple

from ...core.heart.function import heart_function
from ...core.heart.measurements import volumes_ml
from ...core.heart.site_profile import SiteProfile, draw_by_profile
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.metrics.conformal import (
    COVERAGES,
    RemainingChange,
    chance_of_misses,
    conformal_quantile,
)
from ...io.study.arrays import select_phase
from ..segmentation.calibration import calibration_checksum
from .session import ReviewSession

MAIN: Final = "LV EF"
LEVEL: Final = 0.05
"""Level of the test of the LV EF; the other numbers share it once more (Bonferroni)."""
VOID: Final = (
    "The intervals do not hold here: your {name} is on average {mean:+.1f} {unit} from the "
    "ensemble's, and {missed} of {count} are outside its 90 % interval (p = {chance:.1g})."
)
HOLDS: Final = (
    "Nothing speaks against the intervals here: {missed} of {count} of your {name} are outside "
    "their 90 % interval."
)
OTHER_CALIBRATIONS: Final = (
    "The studies have different calibrations, so their intervals were not compared."
)
SITE_WIDTH: Final = (
    "From {count} studies, the 90 % interval of the {name} at your site is {factor:.1f} times that "
    "of the ensemble."
)


class NumberChange(NamedTuple):
    """Change of a number, in ``unit``, by the review of a study.

    ``left`` is the change of what the profile draws. ``bound`` is half of the 90 % interval before
    the review, fitted on ``patients``.
    """

    change: float
    left: float
    bound: float
    unit: str
    patients: int


class ReviewedStudy(NamedTuple):
    """Changes of a study by number, and the checksum of its calibration."""

    changes: Mapping[str, NumberChange]
    calibration: str


def observe_intervals(session: ReviewSession, profile: SiteProfile) -> ReviewedStudy:
    """Return what the review of a study shows of its intervals; nothing if it has none."""
    changes, reviewed, predicted = {}, session.measured(), session.predicted()
    drawn = _drawn_values(session, profile) if profile.draws else {}
    for name, number in predicted.items():
        rule = session.numbers.rules.get(name)
        if isinstance(rule, RemainingChange) and number.intervals and rule.bound(number.spread):
            changes[name] = NumberChange(
                change=reviewed[name].value - number.value,
                left=reviewed[name].value - drawn.get(name, number.value),
                bound=rule.bound(number.spread),
                unit=number.unit,
                patients=rule.patients,
            )
    reports = [*session.study.info.reports.values()]
    return ReviewedStudy(changes, calibration_checksum(reports[0].get("calibration")))


def _drawn_values(session: ReviewSession, profile: SiteProfile) -> dict[str, float]:
    """Return the numbers of the prediction as a learnt profile draws it."""
    state, volumes = session.state, {}
    for phase in {state.ed, state.es}:
        labels = draw_by_profile(
            select_phase(session.study.prediction, phase),
            profile,
            session.heart_labels,
            spacing=session.spacing,
            image=session.study.prediction,  # at which a learnt profile does not look
            es_base_first=session.base_is_first if phase == state.es else None,
        )
        totals = volumes_ml(labels, session.spacing, session.structures)
        volumes[phase] = PhaseVolumes.from_totals(totals)
    numbers = heart_function(volumes, ed=state.ed, es=state.es, patient=state.patient)
    return {name: number.value for name, number in numbers.items()}


def with_intervals(profile: SiteProfile, studies: Sequence[ReviewedStudy]) -> SiteProfile:
    """Return a learnt profile that says whether the intervals hold, and has those of the site.

    The half-widths of the site are conformal (`conformal_quantile`), of the changes as multiples of
    the ensemble's half-widths, and need 9 studies. Whether the ensemble's hold is tested with
    `chance_of_misses`.
    """
    if len({study.calibration for study in studies}) > 1:
        return replace(profile, learnt=(*profile.learnt, OTHER_CALIBRATIONS))
    names = dict.fromkeys(name for study in studies for name in study.changes)
    shown = {name: [s.changes[name] for s in studies if name in s.changes] for name in names}
    level = LEVEL / max(len(shown) - 1, 1)
    said = [
        _test(name, changes, LEVEL if name == MAIN else level) for name, changes in shown.items()
    ]
    intervals = {}
    for name, changes in shown.items():
        low, high = (
            conformal_quantile([abs(change.left) / change.bound for change in changes], c)
            for c in COVERAGES
        )
        if low and high:  # not from studies that nobody has changed
            intervals[name] = low, high
    if MAIN in intervals:
        said.append(SITE_WIDTH.format(name=MAIN, factor=intervals[MAIN][1], count=len(shown[MAIN])))
    return replace(
        profile,
        learnt=(*profile.learnt, *filter(None, said)),
        intervals=intervals,
        calibration=studies[0].calibration if intervals else "",
    )


def _test(name: str, changes: Sequence[NumberChange], level: float) -> str:
    """Return whether the intervals of a number hold: of the LV EF always, of others only if not."""
    missed, count = sum(abs(change.change) > change.bound for change in changes), len(changes)
    chance = chance_of_misses(
        missed, count, min(change.patients for change in changes), COVERAGES[-1]
    )
    if chance > level:
        return HOLDS.format(name=name, missed=missed, count=count) if name == MAIN else ""
    mean, unit = fmean(change.change for change in changes), changes[0].unit.replace("%", "points")
    return VOID.format(name=name, mean=mean, unit=unit, missed=missed, count=count, chance=chance)
