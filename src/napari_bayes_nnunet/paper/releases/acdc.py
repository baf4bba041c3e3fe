"""Reader of the ACDC release as downloaded: one folder per patient, with ``Info.cfg`` and NIfTI.

The layout is ``training/patient001/{Info.cfg, patient001_4d.nii.gz, patient001_frame01.nii.gz,
patient001_frame01_gt.nii.gz, …}``, and the same in ``testing``, as in ``ACDC/database`` of the
download; or the folders of the patients alone. The frames named ED and ES in ``Info.cfg`` are
read, never the cine (``_4d``), because the labels were made on the frames and have their grid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...io import DataError
from ...io.files.access import reading
from ...io.files.given_path import check_folder
from ...io.files.limits import read_small_text
from ...io.images.nifti import CardiacPhases, parse_info_cfg
from .release import (
    OTHER_LAYOUT,
    SAME_FRAME,
    CardiacPhase,
    Release,
    ReleaseCase,
    describe_contents,
    note_left_out,
    require_file,
)

_LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
_LICENCE = "CC BY-NC-SA 4.0"
_REFERENCE = (
    "O. Bernard, A. Lalande, C. Zotti, F. Cervenansky, et al.: Deep Learning Techniques for "
    "Automatic MRI Cardiac Multi-structures Segmentation and Diagnosis: Is the Problem Solved? "
    "IEEE Transactions on Medical Imaging 37(11), 2514-2525, 2018, doi:10.1109/TMI.2018.2837502"
)
TRAINING, TESTING = "training", "testing"
DATABASE = "database"
"""Folder of the download that holds both subsets, itself in a folder ``ACDC``."""


def read_acdc(folder: Path) -> Release:
    """Return the labelled ED and ES frames. Patients of ``testing`` are held out.

    The pathology (NOR, DCM, HCM, MINF, RV) and the subset are groups. Patients of ``testing``
    without labels, as in the release of 2017, are left out and noted. Raises DataError for another
    layout or a missing file.
    """
    cases: list[ReleaseCase] = []
    facts: dict[str, dict[str, str]] = {}
    without: list[Path] = []
    for patient, subset in _patient_folders(folder):
        phases, info = _read_info(patient)
        if subset == TESTING and not any(patient.glob("*_gt.nii.gz")):
            without.append(patient)
            continue
        groups = {"pathology": info.get("Group", "")} | ({"subset": subset} if subset else {})
        cases += _cases(patient, phases, groups)
        facts[patient.name] = {
            "ED": str(phases.ed),
            "ES": str(phases.es),
            "height": info.get("Height", ""),
            "weight": info.get("Weight", ""),
        }
    return Release(
        name="ACDC",
        labels=_LABELS,
        licence=_LICENCE,
        reference=_REFERENCE,
        cases=tuple(cases),
        facts=facts,
        notes=note_left_out(without, TESTING),
    )


def _patient_folders(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folder of every patient with its subset, "" if the release is not divided."""
    check_folder(folder, "ACDC release")
    # The release lies in ACDC/database of the download.
    below = (folder / DATABASE, folder / "ACDC" / DATABASE)
    folder = next((path for path in below if path.is_dir()), folder)
    subsets = [name for name in (TRAINING, TESTING) if (folder / name).is_dir()] or [""]
    patients = [
        (path, subset)
        for subset in subsets
        for path in sorted((folder / subset).iterdir())
        if path.is_dir() and re.fullmatch(r"patient\d+", path.name)
    ]
    if not patients:
        raise DataError(
            OTHER_LAYOUT,
            folder=folder,
            release="ACDC",
            expected=f"{TRAINING}/patient001/Info.cfg or patient001/Info.cfg",
            found=describe_contents(folder / subsets[0]),
        )
    yield from patients


def _read_info(patient: Path) -> tuple[CardiacPhases, dict[str, str]]:
    """Return the frames of ED and ES, and all entries of ``Info.cfg``."""
    file = require_file(patient / "Info.cfg", "it has the phases of ED and ES")
    with reading(file):
        text = read_small_text(file, errors="replace")
    phases = parse_info_cfg(file, text)
    # ED and ES would be written to the same files.
    if phases.ed == phases.es:
        raise DataError(SAME_FRAME, file=file, frame=phases.ed, patient=patient.name)
    return phases, dict(re.findall(r"^\s*(\w+)[ \t]*:[ \t]*(.*?)\s*$", text, re.MULTILINE))


def _cases(patient: Path, phases: CardiacPhases, groups: dict[str, str]) -> Iterator[ReleaseCase]:
    numbered: tuple[tuple[CardiacPhase, int], ...] = (("ED", phases.ed), ("ES", phases.es))
    for phase, frame in numbered:
        stem, reason = f"{patient.name}_frame{frame:02d}", f"{phase} is phase {frame} in Info.cfg"
        yield ReleaseCase(
            patient=patient.name,
            phase=phase,
            frame=frame,
            image=require_file(patient / f"{stem}.nii.gz", reason),
            label=require_file(patient / f"{stem}_gt.nii.gz", reason),
            in_cine=False,
            held_out=groups.get("subset") == TESTING,
            groups=groups,
        )
