"""Study: the folder of a segmented case for review and correction.

STUDY/{study.json, patient.json, prediction.nii.gz, a file for each of the `MAPS` such as
entropy.nii.gz, posterior/phase08.npz, edited.nii.gz, review.json, use_log.csv, readings/,
study.lock}, and image.nii.gz if the image did not come from a file, and first_look.nii.gz if it has
provisional phases, and a file for each of its long axes. A study opens without the ensemble and
without torch.

``study.json`` is written last and makes the folder a study. A reader's work is saved atomically,
first edited.nii.gz, then review.json, so no decision is ever without its labels. A decision has the
checksum of its labels, so that newer labels are noticed.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from ...core.counts import format_count
from ...core.ensemble.maps import HasMaps
from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.long_axis import LongAxis
from ...core.heart.patient_record import NOBODY, PatientRecord
from ...core.types import Phase
from .. import DataError
from ..files.access import writing
from ..files.atomic import remove_leftovers, write_text
from ..files.checksum import sha256
from ..images.geometry import Geometry
from ..images.nifti import VoxelArray, read_labels, write_image, write_labels, write_map
from .arrays import (
    EDITED,
    FIRST_LOOK,
    IMAGE,
    MAP_FILES,
    NEEDED_MAPS,
    POSTERIOR,
    PREDICTION,
    foreign_values,
    posterior_file,
    read_labels_on,
    read_map_on,
    read_posterior,
    round_map,
    select_phase,
    slice_checksums,
    write_posterior,
)
from .info import (
    STUDY_FILE,
    StudyInfo,
    read_study_info,
    write_study_info,
)
from .long_axes import LONG_AXIS_FILES, read_stored_long_axes, write_long_axes
from .patient import PATIENT_FILE, read_patient, write_patient
from .review_state import REVIEW, ReviewState, read_review, write_review

LOCK: Final = "study.lock"
READINGS: Final = "readings"
"""Folder of the kept readings, see `list_readings`."""
_UNFINISHED: Final = ".unfinished"
"""File in a folder whose study was not written completely."""

HAS_CORRECTIONS: Final = (
    "{folder} holds a reader's corrections, which are never replaced. Rename it, or choose another "
    "folder."
)
FOLDER_GONE: Final = (
    "{folder} does not exist any more, so the review cannot be saved. Restore the folder."
)
OTHER_FILES: Final = "{folder} holds other files ({file}). Choose another folder for the study."
OPEN_ELSEWHERE: Final = (
    "{folder} is open in another window. Close it there to change the study here."
)
READ_ONLY_STUDY: Final = (
    "{folder} cannot be written to ({reason}). The study can be viewed, but not changed."
)
NO_EDITED: Final = "{file} is missing. The corrections start again from the prediction."
CHANGED_EDITED: Final = (
    "{file} does not hold the labels that were accepted, perhaps because a save was interrupted. "
    "Check what was accepted and is now flagged: {slices}."
)
NOT_STRUCTURES: Final = (
    "{file} holds labels that are not structures ({values}; known are {structures}). Switch Fill "
    "on to see them in red, and paint over them."
)
BY_HAND: Final = "{problem} Until then, {part} can only be corrected by hand."
NO_LOOK: Final = "{problem} Until then, phases that were not segmented have no contours."
ZERO_MAP: Final = "{problem} Until then, all its values count as 0, so it ranks no slices."


@dataclass(frozen=True, kw_only=True, eq=False)
class Study(HasMaps):
    """Content of a study. All arrays are on the image's grid, (Z, Y, X) or (T, Z, Y, X).

    ``posteriors``: phase → posterior, without phases whose file is lost. ``edited`` are the labels
    with all corrections so far. ``maps``: name → float32, 0 in phases that were not segmented; all
    `NEEDED_MAPS`, and the others if they have a file. ``looks``: phase that was not segmented →
    provisional (Z, Y, X) labels of the first look, which count for nothing. ``problems`` are
    sentences about unreadable or wrong files.
    ``work``: `work_checksums` of the corrections and decisions in the folder. ``patient`` says
    whose heart it is. ``reading`` is the folder of a kept reading, None for the open one.
    ``long_axes`` are of the same examination, one of each kind at most.
    """

    folder: Path
    info: StudyInfo
    posteriors: Mapping[Phase, StoredPosterior]
    prediction: NDArray[np.uint8]
    edited: VoxelArray
    maps: Mapping[str, NDArray[np.float32]]
    review: ReviewState
    problems: tuple[str, ...] = ()
    work: Mapping[str, str] = field(default_factory=dict)
    patient: PatientRecord = NOBODY
    reading: Path | None = None
    looks: Mapping[Phase, VoxelArray] = field(default_factory=dict)
    long_axes: tuple[LongAxis, ...] = ()


def open_study_lock(folder: Path, *, wait: float = 0) -> BaseFileLock:
    """Lock the study for this window until ``release``, or until the program ends.

    Files of writes that were killed are deleted. ``wait`` is the time in seconds to wait for
    another window. Raises DataError if another window has the lock or the folder cannot be written
    to; the study can still be read.
    """
    # Not local to a thread: work is saved in another thread than the one that opened the study.
    lock = FileLock(folder / LOCK, timeout=wait, thread_local=False)
    try:
        lock.acquire()
        remove_leftovers(folder)
    except Timeout as error:
        raise DataError(OPEN_ELSEWHERE, folder=folder) from error
    except OSError as error:
        raise DataError(READ_ONLY_STUDY, folder=folder, reason=error.strerror) from error
    return lock


def is_open_elsewhere(folder: Path) -> bool:
    """Return whether a window has this study open."""
    if not (folder / LOCK).exists():
        return False
    try:
        open_study_lock(folder).release()
    except DataError as error:
        # A study that cannot be written to is refused, too, but not because it is open.
        return error.statement.template == OPEN_ELSEWHERE
    return False


def write_study(
    folder: Path,
    info: StudyInfo,
    posteriors: Mapping[Phase, StoredPosterior],
    *,
    image: VoxelArray | None = None,
    looks: Mapping[Phase, VoxelArray] | None = None,
    patient: PatientRecord | None = None,
    long_axes: Iterable[LongAxis] = (),
    wait: float = 0,
) -> None:
    """Write a new study, or replace one without a reader's work, whose files pass on permissions.

    ``image`` are voxels that did not come from a file (``info.image`` is None). Maps are rounded to
    steps of 1/4096. ``looks`` are those of a `Study`, of any phase. ``patient`` says whose heart it
    is, ``long_axes`` are of its examination. A kill leaves either a complete study or none.
    ``wait`` is the time in seconds to wait for another process that writes this study.

    Raises DataError if the folder holds a reader's work or other files, is open in a window or
    cannot be written to.
    """
    check_replaceable(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with open_study_lock(folder, wait=wait):
            check_replaceable(folder)  # a review may have begun meanwhile
            kept = (file for file in folder.rglob("*") if file.is_file())
            # The patient's file always is for its owner only.
            modes = {f: f.stat().st_mode for f in kept if f.name != PATIENT_FILE}
            write_text(folder / _UNFINISHED, "This study was not written completely.\n")
            _remove(folder)
            with _absent_after_error(folder):
                if image is not None and info.image is None:
                    write_image(folder / IMAGE, image, info.geometry)
                _write_arrays(folder, info, posteriors)
                _write_looks(folder, info, looks or {})
                if patient is not None:
                    write_patient(folder, patient)
                write_long_axes(folder, long_axes)
                # Last, because it makes the folder a study.
                write_study_info(folder, info)
            (folder / _UNFINISHED).unlink(missing_ok=True)
            for file, mode in modes.items():
                with suppress(OSError):  # not written again, or a drive without permissions
                    file.chmod(mode)


def read_study(folder: Path, *, posteriors: bool = True, reading: Path | None = None) -> Study:
    """Read a study; without ``posteriors`` only its labels and maps.

    ``reading`` is the folder of a kept reading, by default the open one is read.

    Lost posteriors, maps and corrections are listed in ``problems``; slices that were accepted with
    lost corrections, or whose labels have changed since, are flagged instead. Raises DataError if
    the study or its labels cannot be used; they are never replaced, as they may still be repaired.
    """
    info = read_study_info(folder)
    problems: list[str] = []
    work = work_checksums(folder)  # before it is read, or a change in between would go unnoticed
    prediction = read_labels_on(folder / PREDICTION, info.geometry)
    edited, review = read_work(reading or folder, info, problems)
    study = Study(
        folder=folder,
        reading=reading,
        info=info,
        posteriors={},
        prediction=prediction,
        edited=edited,
        maps={
            name: _map_or_zeros(folder / file, info.geometry, problems)
            for name, file in MAP_FILES.items()
            if name in NEEDED_MAPS or (folder / file).exists()
        },
        review=review,
        work=work,
        patient=read_patient(folder, case=info.case, problems=problems),
        looks=_read_looks(folder, info, problems),
        long_axes=read_stored_long_axes(folder, problems),
    )
    # They hold views of the prediction and the maps, so these are read first.
    readable = _read_posteriors(study, problems) if posteriors else {}
    return replace(study, posteriors=readable, problems=tuple(problems))


def read_work(folder: Path, info: StudyInfo, problems: list[str]) -> tuple[VoxelArray, ReviewState]:
    """Return corrections and review as `read_study` does, and append to its ``problems``."""
    edited = _edited(folder, info, problems)
    review = read_review(folder) or new_review(folder, info)
    review = _checked(folder, review, edited, problems)
    if edited is None:
        edited = read_labels_on(folder / PREDICTION, info.geometry)
    return edited, review


def new_review(folder: Path, info: StudyInfo) -> ReviewState:
    """Return the review of a study opened for the first time, with what its header knows."""
    known = read_patient(folder, case=info.case, problems=[]).values
    return ReviewState(ed=info.ed, es=info.es, patient=known)


def work_checksums(folder: Path) -> dict[str, str]:
    """Return the checksums of the files of a reader's work, "" for one that cannot be read."""
    checksums = {}
    for name in (EDITED, REVIEW):
        try:
            checksums[name] = sha256(folder / name)
        except OSError:
            checksums[name] = ""
    return checksums


def keep_other_work(folder: Path, known: Mapping[str, str], geometry: Geometry) -> list[Path]:
    """Copy a reader's work that another program has written since its checksums were ``known``.

    A lock does not hold on other computers that synchronise the folder. Returns the copies. Raises
    DataError if that fails, or if the new labels cannot be read or lie on another grid: they are
    never replaced, as they may still be repaired.
    """
    with writing(folder):
        # A file that cannot be read may be of another program, and cannot be copied.
        changed = [
            name
            for name, checksum in work_checksums(folder).items()
            if (folder / name).exists() and not (checksum and checksum == known.get(name))
        ]
        if EDITED in changed:
            read_labels_on(folder / EDITED, geometry)
        copies = [folder / f"other_{datetime.now():%Y%m%d_%H%M%S}_{name}" for name in changed]
        for name, copy in zip(changed, copies, strict=True):
            # With its time, which says when the other program wrote it.
            shutil.copy2(folder / name, copy)
    return copies


def save_work(folder: Path, labels: VoxelArray, geometry: Geometry, review: ReviewState) -> None:
    """Save labels, then decisions: in this order a kill in between loses nothing.

    `read_study` notices labels that are newer than their decision by its checksum. The labels are
    (Z, Y, X) or (T, Z, Y, X) integers on the image's grid. Raises DataError if writing fails.
    """
    checksums = slice_checksums(labels)
    decisions = {
        place: replace(decision, labels=checksums.get(place, ""))
        for place, decision in review.decisions.items()
    }
    with writing(folder):  # even the look for a folder can raise an OSError
        if not folder.is_dir():
            raise DataError(FOLDER_GONE, folder=folder)
        write_labels(folder / EDITED, labels, geometry)
        write_review(folder, replace(review, decisions=decisions))


def files_of_study(folder: Path, info: StudyInfo) -> list[Path]:
    """Return the files of labels, maps and posteriors that a complete study needs."""
    maps = [MAP_FILES[name] for name in NEEDED_MAPS]
    files = [folder / name for name in (PREDICTION, *maps, EDITED)]
    files += [posterior_file(folder, phase) for phase in info.phases]
    return files if info.image is not None else [*files, folder / IMAGE]


def has_corrections(folder: Path) -> bool:
    """Return whether any reader has worked on the study; True if that cannot be read."""
    return has_work(folder) or any((folder / READINGS).glob(f"*/{REVIEW}"))


def has_work(folder: Path) -> bool:
    """Return whether there is work in the open reading; True if that cannot be read."""
    try:
        review = read_review(folder)
        started = read_patient(folder, case="", problems=[]).values
        if review is not None and review.is_begun(started):
            return True
        edited, prediction = folder / EDITED, folder / PREDICTION
        # Byte by byte first, which needs no unpacking.
        if not edited.exists() or filecmp.cmp(edited, prediction, shallow=False):
            return False
        # Equal labels may be packed differently.
        return not np.array_equal(read_labels(edited).voxels, read_labels(prediction).voxels)
    except (DataError, OSError):
        return True


def check_replaceable(folder: Path) -> None:
    """Raise DataError if a new study in ``folder`` would replace a reader's work or other files."""
    with writing(folder):
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if has_corrections(folder):
        raise DataError(HAS_CORRECTIONS, folder=folder)
    # Hidden files are those of systems, such as .DS_Store, or of killed writes.
    others = sorted(name for name in names - {LOCK} if not name.startswith("."))
    if others and not names & {STUDY_FILE, _UNFINISHED}:
        raise DataError(OTHER_FILES, folder=folder, file=others[0])


@contextmanager
def _absent_after_error(folder: Path) -> Iterator[None]:
    """Remove a study after an error in the block, which also frees its disk space."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            _remove(folder, IMAGE)
        raise


def _remove(folder: Path, *images: str) -> None:
    """Remove the files of a study, study.json first and the prediction last, then its posteriors.

    With the prediction, labels can still be recognised as uncorrected after a kill.
    """
    looks = FIRST_LOOK, *LONG_AXIS_FILES, *MAP_FILES.values(), *images
    for name in (STUDY_FILE, PATIENT_FILE, REVIEW, EDITED, *looks, PREDICTION):
        (folder / name).unlink(missing_ok=True)
    if (folder / POSTERIOR).is_symlink():  # else the files of another folder would be deleted
        (folder / POSTERIOR).unlink()
    for file in (folder / POSTERIOR).glob("*.npz"):
        file.unlink()
    remove_leftovers(folder / POSTERIOR)


def _write_arrays(
    folder: Path, info: StudyInfo, posteriors: Mapping[Phase, StoredPosterior]
) -> None:
    prediction = np.zeros(info.shape, np.uint8)
    # A map that not all phases have would be 0 in the others, which means certain.
    names = [name for name in MAP_FILES if all(name in p.maps for p in posteriors.values())]
    maps = {name: np.zeros(info.shape, np.float32) for name in names}
    for phase, posterior in posteriors.items():
        index = ... if phase is None else phase - 1
        prediction[index] = posterior.prediction
        for name, values in maps.items():
            values[index] = round_map(posterior.maps[name])
        write_posterior(posterior_file(folder, phase), posterior)
    write_labels(folder / PREDICTION, prediction, info.geometry)
    for name, values in maps.items():
        write_map(folder / MAP_FILES[name], values, info.geometry)
    # Corrections start as the prediction, so a missing file always means lost work.
    write_labels(folder / EDITED, prediction, info.geometry)


def _write_looks(folder: Path, info: StudyInfo, looks: Mapping[Phase, VoxelArray]) -> None:
    labels = np.zeros(info.shape, np.uint8)
    for phase in looks.keys() - {*info.phases}:
        select_phase(labels, phase)[...] = looks[phase]
    if labels.any():
        write_labels(folder / FIRST_LOOK, labels, info.geometry)


def _read_looks(folder: Path, info: StudyInfo, problems: list[str]) -> dict[Phase, VoxelArray]:
    if not (folder / FIRST_LOOK).exists():
        return {}
    try:
        labels = read_labels_on(folder / FIRST_LOOK, info.geometry)
    except DataError as error:
        problems.append(NO_LOOK.format(problem=error))
        return {}
    volumes: dict[Phase, VoxelArray] = dict(enumerate(labels, start=1))
    return {p: v for p, v in volumes.items() if p not in info.phases and v.any()}


def _read_posteriors(study: Study, problems: list[str]) -> dict[Phase, StoredPosterior]:
    posteriors: dict[Phase, StoredPosterior] = {}
    for phase in study.info.phases:
        try:
            posteriors[phase] = read_posterior(
                posterior_file(study.folder, phase),
                prediction=select_phase(study.prediction, phase),
                maps={name: select_phase(values, phase) for name, values in study.maps.items()},
            )
        except DataError as error:
            part = "the image" if phase is None else f"phase {phase}"
            problems.append(BY_HAND.format(problem=error, part=part))
    return posteriors


def _map_or_zeros(file: Path, geometry: Geometry, problems: list[str]) -> NDArray[np.float32]:
    try:
        return read_map_on(file, geometry)
    except DataError as error:
        problems.append(ZERO_MAP.format(problem=error))
        return np.zeros(geometry.shape, np.float32)


def _edited(folder: Path, info: StudyInfo, problems: list[str]) -> VoxelArray | None:
    """Return the corrected labels, and append what is wrong with them to ``problems``.

    None if the file is missing.
    """
    file = folder / EDITED
    if not file.exists():
        return None
    try:
        labels = read_labels_on(file, info.geometry)
    except DataError as error:
        raise DataError(
            "{problem} Or rename it to start the corrections again from the prediction.",
            problem=error,
        ) from error
    foreign = foreign_values(labels, info.structures)
    if foreign:
        values = ", ".join(f"{value} in {count} voxels" for value, count in foreign.items())
        structures = ", ".join(f"{name} {label}" for name, label in info.structures.items())
        problems.append(NOT_STRUCTURES.format(file=file, values=values, structures=structures))
    return labels


def _checked(
    folder: Path, review: ReviewState, labels: VoxelArray | None, problems: list[str]
) -> ReviewState:
    """Return a review in which accepted slices whose corrections are lost or changed are flagged.

    ``labels`` are the corrected ones, None if they are lost. Decisions lose their checksums, which
    describe the files and not the labels on screen.
    """
    checksums = {} if labels is None else slice_checksums(labels)
    decisions = {
        place: replace(d, edited=d.edited and labels is not None, labels="")
        for place, d in review.decisions.items()
    }
    lost = [
        place
        for place, d in review.decisions.items()
        if d.state == "accepted"
        and (d.edited if labels is None else d.labels not in ("", checksums.get(place)))
    ]
    decisions |= {place: replace(decisions[place], state="flagged") for place in lost}
    if labels is None:
        problems.append(NO_EDITED.format(file=folder / EDITED))
    if lost:
        slices = format_count(len(lost), "slice")
        problems.append(CHANGED_EDITED.format(file=folder / EDITED, slices=slices))
    # What is lost or has changed must be accepted again.
    finished = review.finished and labels is not None and not lost
    return replace(review, decisions=decisions, finished=finished)
