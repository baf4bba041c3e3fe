"""A folder of studies as a hospital might hand it over: real, made and broken, NIfTI and DICOM.

Needs the repository: the made DICOM files are those of the tests.
"""

from __future__ import annotations

import gzip
import shutil
from itertools import cycle
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.uid import generate_uid
from tests.helpers import dicoms

from napari_bayes_nnunet.io.images.nifti import read_volume

MADE_DICOM, BROKEN = 6, 5
_SITES = ("north", "south", "west")


def make_tree(data: Path, tree: Path, *, studies: int) -> int:
    """Write a tree with this many studies, the broken ones included; returns how many there are.

    ``data`` holds ``acdc/imagesTr`` and ``sunnybrook``. Many files have the same name.
    """
    sunnybrook = data / "sunnybrook"
    for place, name in (("north/cines", "SCD0000101"), ("south/cines", "SCD0000301")):
        _copy(sunnybrook / f"{name}_4d.nii.gz", tree / place / "cine.nii.gz")
    shutil.copytree(sunnybrook / "dicom", tree / "scanner" / "disc 1" / "DICOM" / "A0001")
    _made_dicoms(tree / "scanner", read_volume(sunnybrook / "SCD0000301_4d.nii.gz").voxels)
    _broken(tree, sunnybrook)
    frames = sorted((data / "acdc" / "imagesTr").glob("*_0000.nii.gz"))
    left = studies - 3 - MADE_DICOM - BROKEN
    for number, (frame, site) in enumerate(zip(frames[:left], cycle(_SITES), strict=False)):
        _copy(frame, tree / site / f"visit {number:02d}" / "heart_0000.nii.gz")
    return 3 + MADE_DICOM + BROKEN + min(left, len(frames))


def _made_dicoms(folder: Path, cine: np.ndarray) -> None:
    """Six studies: two mixed in one flat folder, two with one series a slice, two enhanced."""
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
            place = folder / f"DOE^JANE {number}"
            dicoms.write_cine(place, changed, series_per_slice=True, **entries)
        else:
            file = folder / "enhanced" / f"{number}" / "I1"
            dicoms.write_enhanced(file, changed, StudyInstanceUID=study)


def _broken(tree: Path, sunnybrook: Path) -> None:
    """A cut file, a text, one without numbers, a cine without a phase, one cut short."""
    place = tree / "broken"
    place.mkdir(parents=True)
    whole = (sunnybrook / "SCD0000301_ED_frame20.nii.gz").read_bytes()
    (place / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (place / "text.nii.gz").write_bytes(gzip.compress(b"not an image"))
    empty = nib.Nifti1Image(np.full((20, 20, 4), np.nan, np.float32), np.eye(4))
    nib.save(empty, place / "nan.nii.gz")
    study = generate_uid(entropy_srcs=["cohort broken"])
    dicoms.write_cine(
        place / "phase missing", StudyInstanceUID=study, leave_out=lambda z, t: (z, t) == (1, 2)
    )
    study = generate_uid(entropy_srcs=["cohort cut"])
    dicoms.write_cine(place / "cut short", StudyInstanceUID=study)
    for file in [f for f in (place / "cut short").rglob("*") if f.is_file()]:
        file.write_bytes(file.read_bytes()[:-100])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
