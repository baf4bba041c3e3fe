"""A study: the folder of a segmented case that a reader goes through and corrects.

STUDY/{study.json, prediction.nii.gz, entropy.nii.gz, mutual_information.nii.gz,
posterior/phase08.npz, edited.nii.gz, review.json, use_log.csv, study.lock}, and image.nii.gz where
the image came from no file. It opens without the ensemble, and without torch.

``study.json`` is written last and makes the folder a study. A reader's work is in edited.nii.gz,
then review.json, each written whole or not at all: no decision is ever without its labels.
"""

from __future__ import annotations

import errno
import filecmp
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.types import Phase, Place
from .. import DataError
from ..files.atomic import remove_leftovers, write_text
from ..images.geometry import Geometry
from ..images.nifti import VoxelArray, read_labels, write_image, write_labels, write_map
from .arrays import (
    EDITED,
    ENTROPY_FILE,
    IMAGE,
    MUTUAL_INFORMATION_FILE,
    POSTERIOR,
    PREDICTION,
    foreign_values,
    of_phase,
    posterior_file,
    read_labels_on,
    read_map_on,
    read_posterior,
    rounded,
    save_edited,
    write_posterior,
)
from .info import (
    STUDY_FILE,
    SourceImage,
    StudyInfo,
    find_image,
    is_study,
    read_study_info,
    write_study_info,
)
from .review_state import REVIEW, Decision, ReviewState, read_review, write_review
from .summary import StudySummary, list_studies

__all__ = [
    "Decision",
    "Phase",
    "Place",
    "ReviewState",
    "SourceImage",
    "Study",
    "StudyInfo",
    "StudySummary",
    "files_of_study",
    "find_image",
    "has_corrections",
    "is_study",
    "list_studies",
    "open_study_lock",
    "read_study",
    "read_study_info",
    "save_edited",
    "save_review",
    "save_work",
    "write_study",
]

LOCK: Final = "study.lock"
_UNFINISHED: Final = ".unfinished"
"""A file of this name is in a folder that was to become a study when its writing was killed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A study as read. All arrays are on the image's grid, (Z, Y, X) or (T, Z, Y, X).

    ``posteriors``: what the members said, per phase; a phase whose file is lost has none.
    ``edited`` are the labels as corrected so far. ``entropy`` and ``mutual_information`` are
    float32 in bit, 0 in phases that were not segmented. ``problems`` says, a sentence each, what
    could not be read or looks wrong.
    """

    folder: Path
    info: StudyInfo
    posteriors: Mapping[Phase, StoredPosterior]
    prediction: NDArray[np.uint8]
    edited: VoxelArray
    entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]
    review: ReviewState
    problems: tuple[str, ...] = ()


def open_study_lock(folder: Path, *, wait: float = 0) -> BaseFileLock:
    """Keep the study for this window until ``release``, or until the program ends in any way.

    What writes that were killed have left is deleted. ``wait`` seconds until another lets go of
    it. Raises DataError, one sentence, where another window has it or nothing can be written
    there; the study can still be read.
    """
    lock = FileLock(folder / LOCK, timeout=wait, thread_local=False)
    try:
        lock.acquire()
        remove_leftovers(folder)
    except Timeout as error:
        raise DataError(
            f"{folder} is open in another window: here it can be looked at, but not changed."
        ) from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{folder} cannot be written to ({reason}): the study can be looked at, but not "
            "changed."
        ) from error
    return lock


def write_study(
    folder: Path,
    info: StudyInfo,
    posteriors: Mapping[Phase, StoredPosterior],
    *,
    image: VoxelArray | None = None,
    wait: float = 0,
) -> None:
    """Write a new study, in place of one that nobody has worked on.

    ``image`` are voxels that came from no file (``info.image`` is None). Maps are rounded to
    steps of 1/4096 bit. Whenever it is killed there is either a whole study or none. ``wait``
    seconds for another process that writes the same.

    Raises DataError where the folder holds a reader's work or other files, is open in a window or
    cannot be written to.
    """
    if set(posteriors) != set(info.phases):
        raise DataError(
            f"The study of {info.case} needs the posterior of every phase that was segmented."
        )
    if info.image is None and image is None:
        raise DataError(f"The study of {info.case} needs its image, or the file it came from.")
    check_replaceable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock_to_write(folder, wait):
            check_replaceable(folder)  # nobody has begun a review meanwhile
            _clear(folder)
            if image is not None and info.image is None:
                write_image(folder / IMAGE, image, info.geometry)
            _write_arrays(folder, info, posteriors)
            write_study_info(folder, info)
            (folder / _UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        full = error.errno == errno.ENOSPC
        reason = "the disk is full" if full else error.strerror or str(error)
        raise DataError(f"{folder} cannot be written to: {reason}.") from error


def _lock_to_write(folder: Path, wait: float) -> AbstractContextManager[object]:
    """The study's lock; a new study can do without where the file system knows none."""
    try:
        return open_study_lock(folder, wait=wait)
    except DataError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return nullcontext()
        raise


def read_study(folder: Path, *, posteriors: bool = True) -> Study:
    """Read a study; without ``posteriors`` only its labels and maps.

    What is lost of the uncertainty is named in ``problems``. Raises DataError where the study or
    its labels cannot be used: it is never begun anew over what can perhaps be rescued.
    """
    info = read_study_info(folder)
    problems: list[str] = []
    prediction = read_labels_on(folder / PREDICTION, info.geometry)
    study = Study(
        folder=folder,
        info=info,
        posteriors={},
        prediction=prediction,
        edited=_edited(folder, info, prediction, problems),
        entropy=_map_or_zeros(folder / ENTROPY_FILE, info.geometry, problems),
        mutual_information=_map_or_zeros(folder / MUTUAL_INFORMATION_FILE, info.geometry, problems),
        review=read_review(folder) or ReviewState(ed=info.ed, es=info.es),
    )
    found = _posteriors(study, problems) if posteriors else {}
    return replace(study, posteriors=found, problems=tuple(problems))


def save_review(folder: Path, review: ReviewState) -> None:
    """Write the decisions; after the labels they speak of. Raises DataError where that fails."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not there any more: the review could not be saved.")
    write_review(folder, review)


def save_work(folder: Path, labels: VoxelArray, geometry: Geometry, review: ReviewState) -> None:
    """Save labels and decisions in the order in which a kill between them loses nothing.

    Raises DataError as ``save_edited`` and ``save_review`` do.
    """
    save_edited(folder, labels, geometry)
    save_review(folder, review)


def files_of_study(folder: Path, info: StudyInfo) -> list[Path]:
    """The files of labels, maps and posteriors without which a study does not open whole."""
    files = [folder / name for name in (PREDICTION, ENTROPY_FILE, MUTUAL_INFORMATION_FILE, EDITED)]
    files += [posterior_file(folder, phase) for phase in info.phases]
    return files if info.image is not None else [*files, folder / IMAGE]


def has_corrections(folder: Path) -> bool:
    """Whether a reader has worked on the study, or has left something that cannot be read."""
    try:
        review = read_review(folder)
        if review is not None and review.is_begun:
            return True
        edited, prediction = folder / EDITED, folder / PREDICTION
        if not edited.exists() or filecmp.cmp(edited, prediction, shallow=False):
            return False
        return not np.array_equal(read_labels(edited).voxels, read_labels(prediction).voxels)
    except (DataError, OSError):
        return True


def check_replaceable(folder: Path) -> None:
    """Raise DataError where a new study in ``folder`` would replace a reader's work or others'."""
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{folder} cannot be used for a study: {error.strerror}.") from error
    if has_corrections(folder):
        raise DataError(
            f"{folder} holds a reader's corrections, which are never replaced: rename it or choose "
            "another folder."
        )
    others = sorted(name for name in names - {LOCK} if not name.startswith("."))
    if others and not names & {STUDY_FILE, _UNFINISHED}:
        raise DataError(
            f"{folder} holds other files ({others[0]}): choose another folder for the study."
        )


def _clear(folder: Path) -> None:
    """Take away what makes the folder a study, then the parts of it, the prediction last.

    Until then labels that were not corrected can be told from such as were.
    """
    write_text(folder / _UNFINISHED, "The writing of this study has not ended.\n")
    for name in (STUDY_FILE, REVIEW, EDITED, PREDICTION):
        (folder / name).unlink(missing_ok=True)
    for file in (folder / POSTERIOR).glob("*.npz"):
        file.unlink()
    remove_leftovers(folder / POSTERIOR)


def _write_arrays(
    folder: Path, info: StudyInfo, posteriors: Mapping[Phase, StoredPosterior]
) -> None:
    prediction = np.zeros(info.shape, np.uint8)
    entropy, information = (np.zeros(info.shape, np.float32) for _ in range(2))
    for phase, posterior in posteriors.items():
        place = ... if phase is None else phase - 1
        prediction[place] = posterior.prediction
        entropy[place] = rounded(posterior.entropy)
        information[place] = rounded(posterior.mutual_information)
        write_posterior(posterior_file(folder, phase), posterior)
    write_labels(folder / PREDICTION, prediction, info.geometry)
    write_map(folder / ENTROPY_FILE, entropy, info.geometry)
    write_map(folder / MUTUAL_INFORMATION_FILE, information, info.geometry)
    write_labels(folder / EDITED, prediction, info.geometry)


def _posteriors(study: Study, problems: list[str]) -> dict[Phase, StoredPosterior]:
    found: dict[Phase, StoredPosterior] = {}
    for phase in study.info.phases:
        try:
            found[phase] = read_posterior(
                posterior_file(study.folder, phase),
                prediction=of_phase(study.prediction, phase),
                entropy=of_phase(study.entropy, phase),
                mutual_information=of_phase(study.mutual_information, phase),
            )
        except DataError as error:
            where = "it" if phase is None else f"phase {phase}"
            problems.append(
                f"{str(error).removesuffix('.')}: {where} can be corrected by hand only."
            )
    return found


def _map_or_zeros(file: Path, geometry: Geometry, problems: list[str]) -> NDArray[np.float32]:
    try:
        return read_map_on(file, geometry)
    except DataError as error:
        problems.append(
            f"{str(error).removesuffix('.')}: it counts as 0, so that no slice is ranked by it."
        )
        return np.zeros(geometry.shape, np.float32)


def _edited(
    folder: Path, info: StudyInfo, prediction: NDArray[np.uint8], problems: list[str]
) -> VoxelArray:
    """The corrected labels, and what is wrong with them."""
    file = folder / EDITED
    if not file.exists():
        problems.append(f"{file} is missing. The corrections start again from the prediction.")
        return prediction.copy()
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
        known = ", ".join(f"{name} {label}" for name, label in info.structures.items())
        problems.append(
            f"{file} holds labels that are no structures ({values}; known are {known}): paint "
            "over them."
        )
    return labels
