"""The files of a segmented case, named alike by the command and by the window."""

from __future__ import annotations

from collections.abc import Collection, Iterable

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
