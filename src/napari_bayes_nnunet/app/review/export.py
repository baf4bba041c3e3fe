"""Export of a review: labels, numbers and report."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.counts import format_count
from ...core.heart.function import Measured
from ...core.problems import Action
from ...core.review.queue import QueueItem
from ...io import DataError
from ...io.files.access import writing
from ...io.files.atomic import replacing
from ...io.files.given_path import is_same_path
from ...io.images.geometry import Geometry
from ...io.images.nifti import Volume, read_labels, write_labels
from ...io.study.arrays import select_phase
from ...io.study.info import find_image
from ...io.study.usage_log import UNCERTAIN_ABOVE, USE_LOG, changed_voxels, read_use, summarise_use
from ..report.output_folder import write_or_refuse
from .accepted_slices import count_accepted, measure_review, sum_accepted
from .comparisons import describe_rules
from .findings import list_sentences
from .report_numbers import write_numbers
from .report_page import CorrectedSlice, ReviewOutcome, report_page
from .session import ReviewSession
from .walls import measure_walls

FOUND_AMONG: Final = (
    "ED and ES are only the largest and smallest LV of {count} phases. If other phases are ED or "
    "ES, EF and volumes are wrong."
)


def export_files(session: ReviewSession, folder: Path) -> list[Path]:
    """Return the files of `export_review`: labels, numbers and report."""
    case = session.study.info.case
    return [folder / f"{case}_{name}" for name in ("edited.nii.gz", "numbers.csv", "report.html")]


def export_review(
    session: ReviewSession,
    image: Volume | None,
    folder: Path,
    *,
    queue: list[QueueItem],
    names_patient: bool = False,
) -> list[Path]:
    """Write labels with the image's geometry, numbers as CSV and the report as HTML.

    Only the report names the patient, and only with ``names_patient``. Raises DataError if a file
    cannot be written, or would not be read back the same.
    """
    labels, numbers, report = export_files(session, folder)
    info = session.study.info
    source = find_image(info, session.study.folder)
    export_labels(labels, session.labels_to_save(), info.geometry, source=source)
    outcome = collect_outcome(session, image, queue)
    write_table(numbers, outcome, among=session.compared)
    patient = session.study.patient.title if names_patient else ""
    write_or_refuse(report, report_page(replace(outcome, patient=patient)))
    return [labels, numbers, report]


def write_table(file: Path, outcome: ReviewOutcome, *, among: int) -> dict[str, Measured]:
    """Write the numbers of an outcome and its walls as CSV, see `write_numbers`; return them."""
    after = {**outcome.after, **outcome.walls.numbers}
    still_open = {**outcome.open_slices, **outcome.walls.open_slices}
    state = outcome.accepted.state
    write_numbers(file, outcome.before, after, still_open, state=state, among=among)
    return after


def collect_outcome(
    session: ReviewSession, image: Volume | None, queue: list[QueueItem]
) -> ReviewOutcome:
    """Return the contents of the report; without the image it has no pictures of slices."""
    info = session.study.info
    of_reading = session.study.reading or session.study.folder
    rows = [*read_use(of_reading / USE_LOG), *session.peek_log()]
    (measured, open_slices), compared = measure_review(session), session.compared
    among = [FOUND_AMONG.format(count=compared)] if compared else []
    return ReviewOutcome(
        info=info,
        state=session.state,
        before=session.predicted(),
        after=measured,
        open_slices=open_slices,
        walls=measure_walls(session),
        rules=describe_rules(session),
        made=datetime.now().astimezone(),
        curves=session.numbers.curves(),
        accepted=sum_accepted(count_accepted(session)),
        progress=session.progress(queue),
        changes=_changes(session),
        corrected=None if image is None else _corrected(session, image),
        use=summarise_use(rows) if rows else None,
        warnings=(*info.warnings, *among, *session.number_warnings(), *list_sentences(session)),
    )


def _changes(session: ReviewSession) -> str:
    """Return how the labels as they are now differ from the prediction, "" if they do not."""
    counts = [
        changed_voxels(
            session.predicted_in(place), session.labels_in(place), session.entropy_in(place)
        )
        for place in session.edited_places()
    ]
    if not counts:
        return ""
    inside, outside = (sum(part) for part in zip(*counts, strict=True))
    share = 100 * inside / (inside + outside)
    return (
        f"Changed since the prediction: {format_count(inside + outside, 'voxel')} in "
        f"{format_count(len(counts), 'slice')}, {share:.0f} % of them where the members were "
        f"uncertain (entropy above {UNCERTAIN_ABOVE:g} bit)."
    )


def _corrected(session: ReviewSession, image: Volume) -> list[CorrectedSlice]:
    return [
        CorrectedSlice(
            phase=phase,
            z=z,
            image=select_phase(image.voxels, phase)[z],
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
    """Write (Z, Y, X) or (T, Z, Y, X) labels with the ``geometry`` of the image ``source``.

    A temporary file is read back first. It replaces an old file only if voxels, shape, spacing,
    units, qform and sform are the same bit for bit. Raises DataError if they differ, if ``file`` is
    the image itself, or if it cannot be written.
    """
    if source is not None and source.exists() and file.exists() and is_same_path(file, source):
        raise DataError("{file} is the image itself.", Action.OTHER_OUTPUT, file=file.name)
    with writing(file, Action.OTHER_OUTPUT), replacing(file) as temporary:
        write_labels(temporary, labels, geometry)
        _check_same(temporary, file.name, labels, geometry)


def _check_same(written: Path, name: str, labels: NDArray[Any], geometry: Geometry) -> None:
    read_back = read_labels(written, like=geometry)
    header, expected = read_back.geometry.parsed(), geometry.parsed()
    # As bytes, because NaN does not equal NaN.
    changed = [field for field in _GRID if header[field].tobytes() != expected[field].tobytes()]
    if not np.array_equal(read_back.voxels, labels):
        changed.append("voxels")
    if changed:
        raise DataError(
            "{file} was not written, because it differs when read back ({fields}).",
            Action.OTHER_OUTPUT,
            file=name,
            fields=", ".join(changed),
        )
