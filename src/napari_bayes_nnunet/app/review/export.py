"""What a reader takes out of a review: labels, numbers, a report, and cases to train on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.review.queue import QueueItem
from ...io import DataError
from ...io.files.atomic import replacing
from ...io.images.geometry import Geometry
from ...io.images.nifti import Volume, read_labels, write_labels
from ...io.study.arrays import of_phase
from ...io.study.study import find_image
from ...io.study.usage_log import USE_LOG, read_use, usage_summary
from .corrected_studies import add_phases, check_ready, open_slices, ready_phases, whole_queue
from .outcome import CorrectedSlice, ReviewOutcome
from .report_files import write_numbers, write_review_report
from .session import ReviewSession

PAPILLARY = "Papillary muscles are counted as in the labels that the ensemble was trained on."


def export_files(session: ReviewSession, folder: Path) -> list[Path]:
    """The files ``export`` would write: labels, numbers and report."""
    case = session.study.info.case
    return [folder / f"{case}_{name}" for name in ("edited.nii.gz", "numbers.csv", "report.html")]


def export(
    session: ReviewSession, image: Volume | None, folder: Path, *, queue: list[QueueItem]
) -> list[Path]:
    """Write labels in the image's geometry, numbers as CSV and the report as HTML.

    Raises DataError where something cannot be written, or would not be read back the same.
    """
    labels, numbers, report = export_files(session, folder)
    info = session.study.info
    source = find_image(info, session.study.folder)
    export_labels(labels, session.labels_to_save(), info.geometry, source=source)
    write_numbers(numbers, session.predicted(), session.measured())
    write_review_report(report, review_of(session, image, queue))
    return [labels, numbers, report]


def review_of(
    session: ReviewSession, image: Volume | None, queue: list[QueueItem]
) -> ReviewOutcome:
    """All that the report tells; without the image it has no pictures of slices."""
    info, state = session.study.info, session.state
    rows = [*read_use(session.study.folder / USE_LOG), *session.peek_log()]
    return ReviewOutcome(
        study=info.case,
        structures=session.structures,
        spacing=session.spacing,
        before=session.predicted(),
        after=session.measured(),
        papillary=PAPILLARY,
        made=datetime.now().astimezone(),
        ed=state.ed,
        es=state.es,
        curves=session.numbers.curves(),
        progress=session.progress(queue),
        corrected=None if image is None else _corrected(session, image),
        decisions=state.decisions,
        use=usage_summary(rows) if rows else None,
        predictions=info.reports,
        warnings=info.warnings,
        letters=info.geometry.letters,
    )


def add_to_training_set(session: ReviewSession, image: Volume, dataset: Path) -> list[str]:
    """Take the reviewed phases into the training part of an nnU-Net raw dataset; their names.

    Only phases of whose slices in the queue of all structures all are accepted: a label that
    nobody has looked at must not be trained on as if it were right. Raises AppError where there is
    none, and DataError where the dataset cannot take a case.
    """
    left = open_slices(session, whole_queue(session))
    check_ready(left)
    return add_phases(session, image, dataset, phases=ready_phases(left))


def _corrected(session: ReviewSession, image: Volume) -> list[CorrectedSlice]:
    return [
        CorrectedSlice(
            phase=phase,
            z=z,
            image=of_phase(image.voxels, phase)[z],
            before=session.predicted_in((phase, z)),
            after=session.labels_in((phase, z)),
        )
        for phase, z in session.edited_places()
    ]


_GRID: Final = (
    "dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c",
    "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


def export_labels(
    file: Path, labels: NDArray[Any], geometry: Geometry, *, source: Path | None = None
) -> None:
    """Write (Z, Y, X) or (T, Z, Y, X) labels in the ``geometry`` of the image in ``source``.

    They are written beside ``file`` and read back; only where voxels, lengths, spacing, units,
    qform and sform are the same bit for bit does the new file replace an old one. Raises DataError
    where they are not, where ``file`` is the image itself, and where it cannot be written.
    """
    if source is not None and source.exists() and file.exists() and file.samefile(source):
        raise DataError(f"{file.name} is the image itself: choose another name or folder.")
    try:
        with replacing(file) as temporary:
            write_labels(temporary, labels, geometry)
            _check_same(temporary, file.name, labels, geometry)
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}.") from error


def _check_same(written: Path, name: str, labels: NDArray[Any], geometry: Geometry) -> None:
    found = read_labels(written)
    header, expected = found.geometry.parsed(), geometry.parsed()
    other = [field for field in _GRID if header[field].tobytes() != expected[field].tobytes()]
    if other:
        raise DataError(
            f"{name} was not written: read back, it would lie elsewhere than its image "
            f"({', '.join(other)} differ)."
        )
    if not np.array_equal(found.voxels, labels):
        changed = np.count_nonzero(found.voxels != labels)
        raise DataError(f"{name} was not written: read back, {changed} voxels are others.")
