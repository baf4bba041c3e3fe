"""Profile of a site from its reviewed studies, and studies with the intervals of a profile."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ...core.heart.function import heart_function
from ...core.heart.measurements import volumes_ml
from ...core.heart.site_habits import EndPhase, Item, learn_profile, observe
from ...core.heart.site_intervals import NumberChange, ReviewedStudy, with_intervals
from ...core.heart.site_profile import NO_PROFILE, SiteProfile, draw_by_profile
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.metrics.conformal import RemainingChange
from ...core.types import Phase
from ...io.study.arrays import select_phase
from ...io.study.study import Study, read_study
from .. import AppError
from ..segmentation.calibration import calibration_checksum
from .corrected_studies import CorrectedStudy, find_corrected
from .session import ReviewSession

TOO_FEW_STUDIES: Final = (
    "ED and ES are reviewed in {ready} of {count} studies, but a profile is learnt from at least "
    "{least}. Accept all queued slices of ED and ES in more studies."
)
FEWEST_TO_LEARN: Final = 2


def learn_from_studies(
    folders: Iterable[Path], name: str, *, draws: bool = True
) -> Generator[tuple[int, int], None, SiteProfile]:
    """Return the profile ``name``, learnt from the studies in the folders and below.

    Studies count if all slices of ED and ES in the queue are accepted. Intervals are compared with
    the ensemble's own, also in studies that were segmented with a profile. Without ``draws``,
    nothing is learnt about contours and base, so labels stay the ensemble's. Yields (done, total).
    Raises AppError if there are fewer than `FEWEST_TO_LEARN`, and DataError if one cannot be read.
    """
    studies: list[CorrectedStudy] = []
    for folder in folders:
        studies += yield from find_corrected(folder)
    ready = [study for study in studies if study.ready]
    shown: dict[Path, dict[Item, float]] = {}
    for done, corrected in enumerate(ready):
        # Each study is read twice, the second time for its intervals.
        yield done, 2 * len(ready)
        if habits := _habits(corrected):
            shown[corrected.folder] = habits
    if len(shown) < FEWEST_TO_LEARN:
        values = {"ready": len(shown), "count": len(studies), "least": FEWEST_TO_LEARN}
        raise AppError(TOO_FEW_STUDIES, **values)
    kinds = ("EF", "es_base", "offset_mm") if draws else ("EF",)
    habits_of = [{i: n for i, n in habits.items() if i[0] in kinds} for habits in shown.values()]
    profile = learn_profile(name, habits_of)
    reviewed = []
    for done, folder in enumerate(shown, start=len(shown)):
        yield done, 2 * len(shown)
        # Intervals that a profile has widened would test themselves.
        session = ReviewSession(with_site(read_study(folder), NO_PROFILE))
        reviewed.append(_changes(session, profile))
    return with_intervals(profile, reviewed)


def with_site(study: Study, profile: SiteProfile) -> Study:
    """Return a study whose intervals are those of a profile, or the ensemble's with `NO_PROFILE`.

    They stay if the profile has none for this study, or draws, because a study keeps the labels of
    the ensemble.
    """
    reports = {
        phase: {key: value for key, value in report.items() if key != "profile"}
        for phase, report in study.info.reports.items()
    }
    if profile.name:
        own = {calibration_checksum(report.get("calibration")) for report in reports.values()}
        factors = profile.intervals_for(own.pop(), study.patient.scanner)
        # What is left in ``own`` is a second calibration, so no factors hold for all phases.
        if profile.draws or own or not factors:
            return study
        reports = {p: {**r, "profile": profile.to_report(factors)} for p, r in reports.items()}
    return replace(study, info=replace(study.info, reports=reports))


def _habits(corrected: CorrectedStudy) -> dict[Item, float]:
    """Return how a site draws in a study, {} unless ED and ES are known and reviewed."""
    session = ReviewSession(study := read_study(corrected.folder, posteriors=False))
    ends: dict[EndPhase, Phase] = {"ED": session.state.ed, "ES": session.state.es}
    if None in ends.values() or not {*ends.values()} <= {*corrected.ready}:
        return {}
    return observe(
        {
            end: (select_phase(study.prediction, phase), select_phase(study.edited, phase))
            for end, phase in ends.items()
        },
        session.heart_labels,
        session.spacing,
        base_first=session.base_is_first,
    )


def _changes(session: ReviewSession, profile: SiteProfile) -> ReviewedStudy:
    """Return what the review of a study shows of its intervals; nothing if it has none."""
    changes, reviewed, predicted = {}, session.measured(), session.predicted()
    drawn = _drawn_values(session, profile) if profile.draws else {}
    for name, number in predicted.items():
        rule = session.numbers.rules.get(name)
        if name not in reviewed or not np.isfinite(reviewed[name].value):
            continue  # such as the EF without an LV at ED
        if isinstance(rule, RemainingChange) and number.intervals and rule.bound(math.inf):
            changes[name] = NumberChange(
                change=reviewed[name].value - number.value,
                left=reviewed[name].value - drawn.get(name, number.value),
                bound=rule.bound(math.inf),
                unit=number.unit,
                patients=rule.patients,
            )
    report = next(iter(session.study.info.reports.values()))
    calibration = calibration_checksum(report.get("calibration"))
    return ReviewedStudy(changes, calibration, session.study.patient.scanner)


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
