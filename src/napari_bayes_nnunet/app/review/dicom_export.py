"""Export of a reviewed study as DICOM: labels as SEG, contours as RTSTRUCT, numbers as SR."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from ... import __version__
from ...core.problems import Action
from ...io import DataError
from ...io.dicom.headers import DicomImage
from ...io.dicom.reader import read_stack, read_stacks, stack_geometry
from ...io.dicom.rtstruct import write_rtstruct
from ...io.dicom.seg import LONGEST_TEXT, LabelOrigin, read_seg, write_seg
from ...io.dicom.series import Stack
from ...io.dicom.structured_report import CONCEPTS, write_structured_report
from ...io.heart.normal_ranges import PETERSEN, read_normal_ranges
from ...io.images.geometry import Geometry
from ...io.study.arrays import IMAGE, select_phase
from ...io.study.info import find_image, read_study_image
from ...io.study.study import Study, read_study
from ..prediction.output_files import dicom_file_names
from ..report.output_folder import refuse_folder_of_inputs
from .accepted_slices import count_accepted
from .export import collect_outcome, write_table
from .report_numbers import describe_numbers
from .report_page import list_decisions, list_facts, list_warnings
from .session import ReviewSession

ALGORITHM = "Bayesian nnU-Net"
UNREVIEWED = "DRAFT, unreviewed"
FOUND_IN = ", ED and ES of {} phases only"
NOT_COMPARABLE = (
    "{image} was not found, so the DICOM images cannot be compared with {case} and may be of "
    "another patient. Put the file back into the study or next to it."
)


def open_session(study: Path, ranges: str = PETERSEN) -> ReviewSession:
    """Return the review of the study in a folder, with these normal ranges, for an export.

    Raises DataError.
    """
    stored = read_study(study)
    image = find_image(stored.info, study)
    session = ReviewSession(stored, read_study_image(stored.info, image).voxels if image else None)
    session.ranges = read_normal_ranges(ranges)
    return session


def export_session(
    session: ReviewSession,
    images: Path,
    output: Path,
    *,
    labelmap: bool = False,
    contours: bool = False,
) -> list[Path]:
    """Write one SEG per segmented phase, and the numbers as CSV and, if SR has terms, as SR.

    With ``labelmap``, the SEGs are label maps. With ``contours``, each phase also is an RTSTRUCT of
    the contours that the window draws. The descriptions say how many slices were accepted. The
    files are named after the case, but contain the patient's name like the images, because a PACS
    needs it. Raises AppError if ``output`` is the folder ``images``, and DataError if the study was
    not made from ``images`` or a file cannot be written.
    """
    refuse_folder_of_inputs(output, {"images": images})
    study = session.study
    stack = find_stack(study, images)
    labels, case = session.labels_to_save(), study.info.case
    accepted = count_accepted(session, study.info.phases)
    origin = LabelOrigin(
        # DICOM allows no longer text.
        algorithm=f"{ALGORITHM} ({study.info.ensemble or 'ensemble'})"[:LONGEST_TEXT],
        version=__version__,
        corrected=bool(session.edited_places()),
        reader=session.state.reader,
    )
    # Archives list series by number, so ED and ES come first.
    phases = tuple(dict.fromkeys((*session.end_phases, *study.info.phases)))
    names, of_contours, report, table = dicom_file_names(case, phases, contours=contours)
    files, drawings = ([output / name for name in part] for part in (names, of_contours))
    for number, (file, phase) in enumerate(zip(files, phases, strict=True), 1):
        drawn, slices = select_phase(labels, phase), images_of_phase(stack, phase)
        about = replace(
            origin,
            review=str(accepted[phase]) if _has_begun(session) else UNREVIEWED,
            phase=describe_phase(session, phase, len(stack.slices[0])),
            number=number,
        )
        write_seg(file, drawn, slices, session.structures, origin=about, labelmap=labelmap)
        _check(file, drawn, study)
        if contours:
            loops = [session.contours_in((phase, z), plane) for z, plane in enumerate(drawn)]
            write_rtstruct(drawings[number - 1], loops, slices, session.structures, origin=about)
    numbers = _write_numbers(session, stack, files, origin, output / table, output / report)
    return [*files, *drawings, *numbers]


def _write_numbers(
    session: ReviewSession,
    stack: Stack,
    labels: Sequence[Path],
    origin: LabelOrigin,
    table: Path,
    report: Path,
) -> list[Path]:
    """Write the numbers as CSV and, if SR has terms for them, as SR; return the files."""
    outcome = collect_outcome(session, None, session.queue(session.scores()))
    among, in_numbers = session.compared, outcome.accepted
    every = write_table(table, outcome, among=among)
    if not CONCEPTS.keys() & outcome.after.keys():
        return [table]
    accepted = in_numbers.state if _has_begun(session) else UNREVIEWED
    state = f"{accepted}{FOUND_IN.format(among) if among else ''}"
    sentences = state, *list_facts(outcome), *list_warnings(outcome), *outcome.rules
    write_structured_report(
        report,
        every,
        images_of_phase(stack, session.end_phases[0]),
        labels,
        origin=replace(origin, review=state),
        is_reviewed=not in_numbers.still_open,
        comments=describe_numbers(outcome.after, outcome.open_slices),
        sentences=[*sentences, *outcome.walls.notes, *list_decisions(outcome)],
    )
    return [report, table]


def _has_begun(session: ReviewSession) -> bool:
    """Return whether a reader has decided on a slice or corrected one."""
    return bool(session.state.decisions or session.edited_places())


def find_stack(study: Study, images: Path) -> Stack:
    """Return the stack in a DICOM folder with the grid and the voxels of a study.

    Also raises DataError if the image of the study is missing, because images of another patient
    can lie on the same grid.
    """
    own = find_image(study.info, study.folder)
    if own is None:
        name = study.info.image.name if study.info.image else IMAGE
        raise DataError(NOT_COMPARABLE, image=name, case=study.info.case)
    stacks, grid = read_stacks(images), _grid_of_images(study)
    # The grid first: reading the voxels of every stack would take long.
    matching = [
        stack for stack in stacks if not stack.problem and stack_geometry(stack).same_grid(grid)
    ]
    expected = read_study_image(study.info, own).voxels
    for stack in matching:
        with suppress(DataError):  # a damaged stack may be of another patient
            if np.array_equal(read_stack(stack, images).voxels, expected):
                return stack
    raise DataError(
        "{case} was not made from these DICOM images ({found}). Choose the folder of its images "
        "({expected}).",
        case=study.info.case,
        found="; ".join(map(str, stacks)),
        expected=grid,
    )


def describe_phase(session: ReviewSession, phase: int | None, count: int) -> str:
    """Return "ED, phase 18 of 20" for a phase of ``count``; "" for a 3D image."""
    if phase is None:
        return ""
    number = f"phase {phase} of {count}"
    name = session.name_of(phase)
    return f"{name}, {number}" if phase in (session.state.ed, session.state.es) else number


def images_of_phase(stack: Stack, phase: int | None) -> Sequence[DicomImage]:
    """Return the images of one phase, counted from 1, one for each slice."""
    return [images[(phase or 1) - 1] for images in stack.slices]


def _grid_of_images(study: Study) -> Geometry:
    """Return the grid of the image, without a voxel size given by hand, which DICOM files lack."""
    return replace(study.info.geometry, given_spacing=None)


def _check(
    file: Path, labels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], study: Study
) -> None:
    """Remove the file and raise DataError unless the written labels are read back the same."""
    values = sorted(study.info.structures.values())
    same = False
    with suppress(DataError):  # it cannot be read back
        written = read_seg(file)
        # Segments are numbered from 1 in the order of their labels.
        same = np.array_equal(np.array([0, *values])[written.voxels], labels)
        same = same and written.geometry.same_grid(_grid_of_images(study).frame())
    if not same:
        file.unlink()
        raise DataError(
            "{file} was not written, because its labels differ when read back.",
            Action.OTHER_OUTPUT,
            file=file.name,
        )
