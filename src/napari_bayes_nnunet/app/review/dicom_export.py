"""A reviewed study as DICOM: its labels as SEG, its numbers as SR, beside the images it is of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ...io import DataError
from ...io.dicom.headers import DicomImage
from ...io.dicom.reader import read_stack, read_stacks, stack_geometry
from ...io.dicom.seg import MAKER, LabelOrigin, read_seg, write_seg
from ...io.dicom.series import Stack
from ...io.dicom.structured_report import CONCEPTS, write_structured_report
from ...io.images.nifti import read_volume
from ...io.study.arrays import of_phase
from ...io.study.study import Study, find_image, read_study
from ..prediction.output_files import dicom_files_of
from .report_files import write_numbers
from .session import ReviewSession

ALGORITHM = "Bayesian nnU-Net"


def export_dicom(folder: Path, images: Path, output: Path) -> list[Path]:
    """Write the study in ``folder`` as DICOM into ``output``; ``images`` is its DICOM folder."""
    return export_session(ReviewSession(read_study(folder)), images, output)


def export_session(session: ReviewSession, images: Path, output: Path) -> list[Path]:
    """One SEG per segmented phase; the numbers as SR, where it has words for them, and as CSV.

    The files are called by the case, but hold the patient's name as the images do: a PACS needs
    it. Raises DataError where ``images`` holds no stack that the study is of, and where nothing
    can be written.
    """
    study = session.study
    stack = stack_of(study, images)
    labels, case = session.labels_to_save(), study.info.case
    origin = LabelOrigin(
        algorithm=f"{ALGORITHM} ({study.info.ensemble or 'ensemble'})"[:64],
        version=version(MAKER),
        corrected=bool(session.edited_places()),
    )
    names, report, table = dicom_files_of(case, study.info.phases)
    files = [output / name for name in names]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output} cannot be used as a folder: {error.strerror}.") from error
    for number, (file, phase) in enumerate(zip(files, study.info.phases, strict=True), 1):
        drawn = of_phase(labels, phase)
        slices = images_of_phase(stack, phase)
        write_seg(file, drawn, slices, study.info.structures, origin=origin, number=number)
        _check(file, drawn, study)
    measured = session.measured()
    write_numbers(output / table, session.predicted(), measured)
    if not CONCEPTS.keys() & measured.keys():
        return [*files, output / table]
    slices = images_of_phase(stack, session.state.ed or session.state.es or session.phases[0])
    write_structured_report(output / report, measured, slices, files, origin=origin)
    return [*files, output / report, output / table]


def stack_of(study: Study, images: Path) -> Stack:
    """The stack in a DICOM folder that a study was made of, by its place and its voxels."""
    stacks = read_stacks(images)
    fitting = [
        stack
        for stack in stacks
        if not stack.problem and stack_geometry(stack).same_grid(study.info.geometry)
    ]
    own = find_image(study.info, study.folder)
    expected = None if own is None else read_volume(own, allow_blank=True).voxels
    for stack in fitting:
        with suppress(DataError):  # of another patient, and damaged
            if expected is None or np.array_equal(read_stack(stack, images).voxels, expected):
                return stack
    listed = "; ".join(map(str, stacks))
    raise DataError(
        f"{study.info.case} was not made of these DICOM images: expected {study.info.geometry} "
        f"with its voxels, found {listed}."
    )


def images_of_phase(stack: Stack, phase: int | None) -> Sequence[DicomImage]:
    """The images of one phase, counted from 1, one a slice."""
    return [images[(phase or 1) - 1] for images in stack.slices]


def _check(
    file: Path, labels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], study: Study
) -> None:
    """Raise DataError where what was written is not read back the same."""
    found = read_seg(file)
    values = sorted(study.info.structures.values())
    same = np.array_equal(np.array([0, *values])[found.voxels], labels)
    if not same or not found.geometry.same_grid(study.info.geometry.frame()):
        file.unlink()
        raise DataError(f"{file.name} was not written: read back, its labels would be others.")
