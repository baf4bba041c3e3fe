"""Files of a segmented case: their names in the command and in the window, writing, replacing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...io import DataError
from ...io.files.atomic import remove_leftovers, replacing, write_json
from ...io.images.integrity import is_image
from ...io.images.nifti import Volume, read_labels, write_labels, write_map
from ...io.study.info import is_study
from .. import AppError
from ..segmentation.result import Segmentation

MAPS = ("entropy", "mutual-information", "probabilities")
STUDY_OUTPUT = "study"
"""What ``--save`` calls the folder of a case for its review."""
INFO_CFG = "Info.cfg beside the image"
FOUND_BY_VOLUME = "largest and smallest LV volume found by one member"
"""Where the phases ED and ES come from, as the report says it."""


def frame_name(case: str, phase: int | None) -> str:
    """Name of a 3D image: the case, or one phase of a cine, counted from 1."""
    return case if phase is None else f"{case}_frame{phase:02d}"


def case_files(name: str, maps: Collection[str]) -> dict[str, str]:
    """What is written of a 3D image: labels, maps asked for, last the report → file name."""
    names = {
        "labels": f"{name}.nii.gz",
        "entropy": f"{name}_entropy.nii.gz",
        "mutual-information": f"{name}_mutual_information.nii.gz",
        "probabilities": f"{name}_probabilities.npz",
        "report": f"{name}.json",
    }
    return {key: file for key, file in names.items() if key in {"labels", "report", *maps}}


def dicom_files_of(case: str, phases: Iterable[int | None]) -> tuple[list[str], str, str]:
    """What is written of a study as DICOM: labels of each phase, measurements, numbers as CSV."""
    labels = [f"{frame_name(case, phase)}_seg.dcm" for phase in phases]
    return labels, f"{case}_measurements.dcm", f"{case}_numbers.csv"


def write_case(
    folder: Path,
    name: str,
    result: Segmentation,
    report: Mapping[str, Any],
    *,
    maps: Collection[str],
    like: Volume,
) -> None:
    """Write labels, maps and, last, the report of a 3D image with the geometry of ``like``.

    Maps of an earlier result are removed. Raises DataError if the folder cannot be written to.
    """
    files = {key: folder / file for key, file in case_files(name, maps).items()}
    try:
        remove_case(folder, name)
        if "entropy" in files:
            write_map(files["entropy"], result.entropy, like)
        if "mutual-information" in files:
            write_map(files["mutual-information"], result.mutual_information, like)
        if "probabilities" in files:
            write_probabilities(files["probabilities"], result.probabilities)
        write_labels(files["labels"], result.labels, like)
        write_json(files["report"], report)
    except OSError as error:
        raise DataError(f"{folder} cannot be written to: {error.strerror}.") from error


def write_probabilities(path: Path, probabilities: NDArray[np.float32]) -> None:
    """Write (C, Z, Y, X) float32 probabilities under the key ``probabilities``, compressed."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, probabilities=probabilities)


def write_cine(folder: Path, case: str, names: Iterable[str], like: Volume) -> None:
    """Write the labels of all phases as one 4D file.

    They are read from the files of the phases, because some may be of an earlier run.
    """
    remove_leftovers(folder, f"{case}.nii.gz")
    parts = [read_labels(folder / f"{name}.nii.gz").voxels for name in names]
    write_labels(folder / f"{case}.nii.gz", np.stack(parts), like)


def remove_case(folder: Path, name: str) -> None:
    """Delete the labels, maps and report of a 3D image, and what a killed process left of them."""
    files = case_files(name, MAPS).values()
    for file in files:
        (folder / file).unlink(missing_ok=True)
    remove_leftovers(folder, *files)


def refuse_replacing(
    folder: Path, names: Collection[str], image: Path, *, maps: Collection[str], may_replace: bool
) -> None:
    """Raise AppError if files of these cases exist and must stay; an ``image`` stays always."""
    files = [folder / file for name in names for file in case_files(name, maps).values()]
    existing = [file for file in files if file.exists()]
    if any(file.samefile(image) for file in existing):
        raise AppError("The labels would replace the image itself; choose another output folder.")
    labels = (folder / f"{name}.nii.gz" for name in names)
    if images := [file for file in labels if is_image(file)]:
        raise AppError(
            f"The labels would replace {images[0]}, which is an image; choose another output "
            "folder."
        )
    if existing and not may_replace:
        raise AppError(
            f"{existing[0].name} exists in {folder}; use --overwrite to replace it or "
            "--continue to do only what is missing."
        )


def refuse_inside_study(folder: Path) -> None:
    """Raise AppError if results could replace a reader's corrections."""
    if study := next((place for place in (folder, *folder.parents) if is_study(place)), None):
        raise AppError(f"The results would lie in the study {study}; choose another output folder.")
