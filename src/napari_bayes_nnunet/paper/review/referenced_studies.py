"""Studies of a folder together with their reference labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import numpy as np

from ...app import AppError
from ...app.evaluation.evaluate import (
    COMPARED_BY_VOXEL,
    IDENTICAL,
    NO_SHARED_PATIENT,
    REFERENCE_UNNAMED,
)
from ...app.prediction.output_files import frame_name
from ...core.problems import Setting
from ...core.types import Phase
from ...io.dataset.groups import patients_of
from ...io.dataset.patients import DEFAULT_PATIENT, no_patient_is_shared, patient_of
from ...io.dataset.raw_dataset import join_names
from ...io.evaluation.references import Reference, ReferenceTree, reference_labels
from ...io.files.given_path import check_folder
from ...io.study.info import StudyInfo, read_study_info
from ...io.study.study import Study, read_study
from ...io.study.summary import list_studies

STUDY_LEFT_OUT: Final = "{case} has no reference labels and was left out."
SAME_CASE: Final = "{first} and {second} are both studies of {case}. Keep only one of them."
UNDRAWN: Final = "{structures} counted as errors (not drawn in the reference)"
PHASES_LEFT_OUT: Final = "{case} has no reference labels for phases {phases}, which were left out."


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferencedStudy:
    """Study, its case and patient, and the reference of each phase that has one."""

    study: Study
    case: str
    patient: str
    references: Mapping[Phase, Reference]


class ReferencedStudies:
    """Studies in a folder with a reference, read one after another, all of a patient in a row.

    ``studies`` and ``labels`` are trees; `ReferenceTree` says which reference belongs to a study.
    Phases and studies without a reference are left out and noted. ``patient`` is the pattern of the
    patient's part of a case name (`patients_of`).
    """

    def __init__(self, studies: Path, labels: Path, *, patient: str = DEFAULT_PATIENT) -> None:
        self._studies = studies
        self._labels = labels
        self._patient = patient
        self._notes: list[str] = []
        self._remarks: dict[str, list[str]] = {}
        self._patients: dict[str, str] = {}
        self.patient_count = 0
        """Number of patients with a reference, known from the first study on."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was left out or cannot be known, after all studies were read."""
        remarks = {**self._remarks}
        if self._patient == DEFAULT_PATIENT and no_patient_is_shared(self._patients):
            remarks[NO_SHARED_PATIENT] = list(self._patients)
        worded = (f"{remark}: {join_names(noted)}." for remark, noted in remarks.items())
        return tuple(dict.fromkeys((*self._notes, *worded)))

    def __iter__(self) -> Iterator[ReferencedStudy]:
        """Yield the studies in the order of their cases, those of a patient after its first one.

        Raises AppError and DataError if no study has a reference, a study cannot be read, or a
        reference does not match its study, the latter before the first study.
        """
        check_folder(self._labels, "reference labels")
        cases = _cases(self._studies)
        infos = {folder: read_study_info(folder) for folder in cases}
        images = {folder: _phase_images(infos[folder], case) for folder, case in cases.items()}
        every = dict(image for of_study in images.values() for image in of_study.values())
        matches = ReferenceTree(self._labels).match(every)
        patients = _patients(cases, images, self._labels, self._patient)
        # Each reference is read twice, so that a wrong one is reported before the long work.
        known = {
            folder: [*_compared(info, images[folder], matches, self._labels, info.phases)]
            for folder, info in infos.items()
        }
        self.patient_count = len({patients[cases[folder]] for folder in cases if known[folder]})
        by_patient: dict[str, list[Path]] = {}
        for folder, case in cases.items():
            by_patient.setdefault(patients[case], []).append(folder)
        for folder in chain.from_iterable(by_patient.values()):
            case = cases[folder]
            study = read_study(folder)
            # A phase whose posterior cannot be read is left out here.
            compared = _compared(
                study.info, images[folder], matches, self._labels, study.posteriors
            )
            for remark in _remarks(study, compared):
                self._remarks.setdefault(remark, []).append(case)
            self._notes += [*study.problems, *_unlabelled(study, compared)]
            if compared:
                patient = self._patients[case] = patients[case]
                yield ReferencedStudy(study=study, case=case, patient=patient, references=compared)
        if not self._patients:
            raise AppError(
                "{labels} has no reference for any study in {studies}. Rename each reference to "
                "NAME.nii.gz or NAME_gt.nii.gz, with the NAME of its study.",
                labels=self._labels,
                studies=self._studies,
            )


WITHOUT_STUDIES = "{studies} contains no studies. Write them with {setting} study."


def _cases(studies: Path) -> dict[Path, str]:
    """Return folder → case of each study, such as "p1/heart" for one in a subfolder."""
    check_folder(studies, "studies")
    summaries = sorted(list_studies(studies), key=lambda summary: summary.case)
    if not summaries:
        raise AppError(WITHOUT_STUDIES, studies=studies, setting=Setting("save"))
    if problem := next((s.problem for s in summaries if s.problem is not None), None):
        raise AppError.from_statement(problem)
    folders: dict[str, Path] = {}
    for summary in summaries:
        case = (summary.folder.relative_to(studies).parent / summary.case).as_posix()
        if (other := folders.setdefault(case, summary.folder)) != summary.folder:
            raise AppError(SAME_CASE, first=other, second=summary.folder, case=case)
    return {folder: case for case, folder in folders.items()}


class _PhaseImage(NamedTuple):
    """Name of the 3D image of a phase, and its phase among those with this name in its file."""

    name: str
    phase: Phase


def _phase_images(info: StudyInfo, case: str) -> dict[Phase, _PhaseImage]:
    """Return phase → image; phases that were joined have files of their own."""
    parent = PurePosixPath(case).parent
    own = [(parent / name).as_posix() for name in info.phase_cases]
    return {
        phase: _PhaseImage(frame_name(case, phase, own), None if own else phase)
        for phase in info.phases
    }


def _patients(
    cases: Mapping[Path, str],
    images: Mapping[Path, Mapping[Phase, _PhaseImage]],
    labels: Path,
    pattern: str,
) -> dict[str, str]:
    """Return case → patient; the table of `patients_of` may list a study or its phases."""
    named = {
        case: dict.fromkeys((case, *(image.name for image in images[folder].values())))
        for folder, case in cases.items()
    }
    found = patients_of([name for own in named.values() for name in own], labels, pattern=pattern)
    return {
        # The table counts where it differs from what the pattern finds.
        case: next((found[n] for n in own if found[n] != patient_of(n, pattern)), found[case])
        for case, own in named.items()
    }


def _compared(
    info: StudyInfo,
    images: Mapping[Phase, _PhaseImage],
    matches: Mapping[str, str],
    labels: Path,
    phases: Iterable[Phase],
) -> dict[Phase, Reference]:
    """Return the reference of each of the ``phases`` that has one."""
    found = {
        phase: reference_labels(
            *(labels, matches[images[phase].name], images[phase].phase),
            structures=info.structures,
            geometry=info.geometry,
        )
        for phase in phases
        if images[phase].name in matches
    }
    return {phase: reference for phase, reference in found.items() if reference is not None}


def _remarks(study: Study, references: Mapping[Phase, Reference]) -> Iterator[str]:
    """Yield remarks on a study, worded as those of `evaluate`."""
    known = references.values()
    if not all(reference.is_named for reference in known):
        yield REFERENCE_UNNAMED
    if undrawn := [
        name
        for name, label in study.info.structures.items()
        if any(
            (study.posteriors[phase].prediction == label).any()
            and not (reference.labels == label).any()
            for phase, reference in references.items()
        )
    ]:
        yield UNDRAWN.format(structures=" and ".join(undrawn))
    has_position = study.info.geometry.letters is not None
    if known and not (has_position and all(reference.is_placed for reference in known)):
        yield COMPARED_BY_VOXEL
    if any(
        np.array_equal(study.posteriors[phase].prediction, reference.labels)
        for phase, reference in references.items()
    ):
        yield IDENTICAL


def _unlabelled(study: Study, references: Mapping[Phase, Reference]) -> list[str]:
    without = [phase for phase in study.posteriors if phase not in references]
    if not without:
        return []
    if not references:
        return [STUDY_LEFT_OUT.format(case=study.info.case)]
    phases = ", ".join(map(str, without))
    return [PHASES_LEFT_OUT.format(case=study.info.case, phases=phases)]
