"""Studies that a reader has corrected."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.core.metrics.conformal import RemainingChange
from napari_bayes_nnunet.io.study.patient import write_patient
from napari_bayes_nnunet.io.study.review_state import Decision
from napari_bayes_nnunet.io.study.study import read_study, save_work

from .studies import made_report, make_study

CHANGE = RemainingChange(spreads=(0.0,), bounds_80=(0.5,), bounds_90=(1.0,), patients=16)


def reviewed(
    folder: Path,
    *,
    lower: int,
    accepted: bool = True,
    bound: float | None = 1,
    scanner: str = "",
    profile: dict[str, Any] | None = None,
) -> Path:
    """Write a study of ED 1 and ES 2 whose reader begins the LV lower at ES.

    Half of the 90 % interval of its numbers is ``bound``, by the ensemble; None: not calibrated.
    """
    entries: dict[str, Any] = {"profile": profile} if profile else {}
    if bound is not None:
        rule = asdict(CHANGE.scaled((bound, bound)))
        entries["calibration"] = {"review": {"LV EF": rule, "LV ESV": rule}}
    reports = {phase: made_report(**entries) for phase in (1, 2)}
    make_study(folder, phases=(1, 2), case=folder.name, ed=1, es=2, reports=reports)
    study = read_study(folder)
    labels = study.edited.copy()
    labels[1, :lower] = 0
    places = [(phase, z) for phase in (1, 2) for z in range(4)] if accepted else [(1, 0)]
    decisions = {place: Decision(state="accepted", edited=place == (2, 0)) for place in places}
    review = replace(study.review, decisions=decisions)
    save_work(folder, labels, study.info.geometry, review)
    write_patient(folder, PatientRecord(scanner=scanner))
    return folder
