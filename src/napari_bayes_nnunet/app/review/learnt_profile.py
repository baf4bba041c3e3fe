"""Profile of a site from its reviewed studies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ...core.heart.site_habits import EndPhase, Item, learn_profile, observe
from ...core.heart.site_profile import SiteProfile
from ...core.heart.slice_volumes import base_is_first, heart_structures
from ...core.steps import drain
from ...core.types import Phase
from ...io.study.arrays import select_phase
from ...io.study.study import read_study
from .. import AppError
from .corrected_studies import CorrectedStudy, find_corrected
from .session import ReviewSession
from .site_intervals import observe_intervals, with_intervals

TOO_FEW_STUDIES: Final = (
    "ED and ES are reviewed in {ready} of {count} studies, but a profile is learnt from at least "
    "{least}. Accept all queued slices of ED and ES in more studies."
)
FEWEST_TO_LEARN: Final = 2


def learn_from_studies(folders: Iterable[Path], name: str) -> SiteProfile:
    """Return the profile ``name``, learnt from the studies in the folders and below.

    Studies count if all slices of ED and ES in the queue are accepted. Raises AppError if there are
    fewer than `FEWEST_TO_LEARN`, and DataError if one cannot be read.
    """
    studies = [study for folder in folders for study in drain(find_corrected(folder))]
    seen = [(study.folder, shown) for study in studies if (shown := _observed(study))]
    if len(seen) < FEWEST_TO_LEARN:
        raise AppError(TOO_FEW_STUDIES, ready=len(seen), count=len(studies), least=FEWEST_TO_LEARN)
    profile = learn_profile(name, [habits for _, habits in seen])
    sessions = (ReviewSession(read_study(study)) for study, _ in seen)
    return with_intervals(profile, [observe_intervals(s, profile) for s in sessions])


def _observed(corrected: CorrectedStudy) -> dict[Item, float]:
    """Return what a study shows, {} unless ED and ES are known and reviewed."""
    if not corrected.ready:
        return {}
    study = read_study(corrected.folder, posteriors=False)
    ends: dict[EndPhase, Phase] = {"ED": study.review.ed, "ES": study.review.es}
    if None in ends.values() or not {*ends.values()} <= {*corrected.ready}:
        return {}
    by_position, spacing = study.info.geometry.starts_at_base, study.info.geometry.spacing
    return observe(
        {
            end: (select_phase(study.prediction, phase), select_phase(study.edited, phase))
            for end, phase in ends.items()
        },
        heart_structures(study.info.structures),
        spacing,
        base_first=base_is_first(study.prediction) if by_position is None else by_position,
    )
