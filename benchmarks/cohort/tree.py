"""Folder of real, synthetic and damaged studies, in NIfTI and DICOM, as a hospital might have it.

Needs a checkout of the repository: test helpers write the synthetic DICOM files.
"""

from __future__ import annotations

import gzip
import shutil
from itertools import cycle
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.uid import generate_uid
from tests.helpers.data import dicoms

from napari_bayes_nnunet.io.images.nifti import read_volume

MADE_DICOM, BROKEN = 6, 5
_SITES = ("north", "south", "west")


def make_tree(data: Path, tree: Path, *, studies: int) -> int:
    """Write a tree of up to ``studies`` studies, with the damaged ones, and return their number.

    ``data`` holds ``acdc/imagesTr`` and ``sunnybrook``. Many files have the same name.
    """
    sunnybrook = data / "sunnybrook"
    for site, name in (("north/cines", "SCD0000101"), ("south/cines", "SCD0000301")):
        _copy(sunnybrook / f"{name}_4d.nii.gz", tree / site / "cine.nii.gz")
    shutil.copytree(sunnybrook / "dicom", tree / "scanner" / "disc 1" / "DICOM" / "A0001")
    _write_dicoms(tree / "scanner", read_volume(sunnybrook / "SCD0000301_4d.nii.gz").voxels)
    _write_damaged(tree, sunnybrook)
    frames = sorted((data / "acdc" / "imagesTr").glob("*_0000.nii.gz"))
    frame_count = studies - 3 - MADE_DICOM - BROKEN
    for number, (frame, site) in enumerate(zip(frames[:frame_count], cycle(_SITES), strict=False)):
        _copy(frame, tree / site / f"visit {number:02d}" / "heart_0000.nii.gz")
    return 3 + MADE_DICOM + BROKEN + min(frame_count, len(frames))


def _write_dicoms(folder: Path, cine: np.ndarray) -> None:
    """Write two studies in one flat folder, two with a series per slice, and two enhanced ones."""
    voxels = np.clip(cine[::7], 0, 32767).astype(np.int16)
    flat = folder / "disc 2"
    for number in range(MADE_DICOM):
        study = generate_uid(entropy_srcs=[f"cohort {number}"])
        entries = {"StudyInstanceUID": study, "series": 100 * (number + 1)}
        changed = np.roll(voxels, number, axis=-1)
        if number < 2:
            dicoms.write_cine(folder / f"flat {number}", changed, **entries)
            for file in [f for f in (folder / f"flat {number}").rglob("*") if f.is_file()]:
                flat.mkdir(parents=True, exist_ok=True)
                file.rename(flat / f"{file.name}_{number}")
            shutil.rmtree(folder / f"flat {number}")
        elif number < 4:
            patient = folder / f"DOE^JANE {number}"
            dicoms.write_cine(patient, changed, series_per_slice=True, **entries)
        else:
            file = folder / "enhanced" / f"{number}" / "I1"
            dicoms.write_enhanced(file, changed, StudyInstanceUID=study)


def _write_damaged(tree: Path, sunnybrook: Path) -> None:
    """Write a truncated file, a text, an image of NaN, an incomplete and a truncated cine."""
    folder = tree / "broken"
    folder.mkdir(parents=True)
    whole = (sunnybrook / "SCD0000301_ED_frame20.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "text.nii.gz").write_bytes(gzip.compress(b"not an image"))
    empty = nib.Nifti1Image(np.full((20, 20, 4), np.nan, np.float32), np.eye(4))
    nib.save(empty, folder / "nan.nii.gz")
    study = generate_uid(entropy_srcs=["cohort broken"])
    dicoms.write_cine(
        folder / "phase missing", StudyInstanceUID=study, leave_out=lambda z, t: (z, t) == (1, 2)
    )
    study = generate_uid(entropy_srcs=["cohort cut"])
    dicoms.write_cine(folder / "cut short", StudyInstanceUID=study)
    for file in [f for f in (folder / "cut short").rglob("*") if f.is_file()]:
        file.write_bytes(file.read_bytes()[:-100])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
