"""Made studies to review: a beating heart in four slices, two of four phases, five members.

The members draw the heart in slightly different sizes. The last member also draws a stray piece of
RV, whose size differs between slices: the queue by expected gross errors starts at the largest.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io.dicom.reader import read_dicom
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.io.study.info import SourceImage, StudyInfo
from napari_bayes_nnunet.io.study.review_state import ReviewState, write_review
from napari_bayes_nnunet.io.study.study import read_study, write_study

from .dicoms import write_cine
from .posteriors import posterior_of
from .studies import AFFINE, made_report

SHAPE = (4, 40, 48)
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}
RV, MYO, LV = STRUCTURES.values()
SPACING = (8.0, 1.5, 1.25)
CINE = make_geometry((4, *SHAPE), SPACING, frame_time=46, affine=AFFINE)
VOLUME = make_geometry(SHAPE, SPACING, affine=AFFINE)
ED, ES = 1, 3
WORST = (ED, 2)
"""The first slice in the queue, (phase, z)."""
SLICE_SIZES = (1.0, 0.95, 0.8, 0.55)  # from base to apex


def drawn(phase: int | None, member: int) -> np.ndarray:
    """Return the (Z, Y, X) labels of one member."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    labels = np.zeros(SHAPE, np.uint8)
    for z, size in enumerate(SLICE_SIZES):
        size *= 0.75 * (1 - 0.03 * (member - 2)) if phase == ES else 1 + 0.06 * (member - 2)
        radius = np.hypot(y - 18, x - 26)
        labels[z][np.hypot(y - 18, 1.4 * (x - 16)) < 10 * size] = RV
        labels[z][radius < 11 * size] = MYO
        labels[z][radius < 7 * size] = LV
    if member == 4:
        for z, height in enumerate(stray_heights(phase)):
            labels[z, 36 - height : 36, 40:46] = RV
    return labels


def stray_heights(phase: int | None) -> Sequence[int]:
    """Return the height of the stray piece of RV in each slice, in voxels."""
    return (2, 4, 3, 1) if phase == ES else (3, 5, 7, 2)


def posterior(
    phase: int | None = ED, *, members: int = 5, removed: Sequence[int] = ()
) -> StoredPosterior:
    """Return the posterior of one phase; what was drawn in some slices was ``removed``."""
    numbers = range(5) if members > 1 else [2]
    made = posterior_of([drawn(phase, member) for member in numbers])
    made.prediction[list(removed)] = 0
    return made


def make_cine(
    folder: Path,
    *,
    phases: tuple[int | None, ...] = (ED, ES),
    members: int = 5,
    removed: Sequence[int] = (),
    looks: Sequence[int] = (),
    geometry: Geometry | None = None,
    **changes: Any,
) -> Path:
    """Write a study to ``folder`` and its image next to it: a cine, or a volume for phase None.

    Phases of ``looks`` have the labels of a first look.
    """
    geometry = geometry or (VOLUME if phases == (None,) else CINE)
    image = folder.parent / f"{folder.name}_image.nii.gz"
    write_image(image, voxels_of(geometry.shape), geometry)
    given: dict[str, Any] = {
        "case": "heart",
        "image": SourceImage.from_file(image),
        "geometry": geometry,
        "structures": STRUCTURES,
        "classes": 4,
        "phases": phases,
        "reports": {phase: made_report() for phase in phases},
    }
    posteriors = {p: posterior(p, members=members, removed=removed) for p in phases}
    info = StudyInfo(**(given | changes))
    write_study(folder, info, posteriors, looks={phase: drawn(phase, 2) for phase in looks})
    write_review(folder, ReviewState(score="gross-errors", ed=info.ed, es=info.es))
    return folder


def voxels_of(shape: tuple[int, ...], *, seed: int = 1) -> np.ndarray:
    """Return the voxels of the image of a made study, or of another patient by another seed."""
    return np.random.default_rng(seed).integers(1, 400, shape, dtype=np.int16)


def write_dicoms(folder: Path, *, seed: int = 1, **options: Any) -> Geometry:
    """Write the DICOM images of a made study, and return their geometry for `make_cine`."""
    write_cine(folder, voxels_of(CINE.shape, seed=seed), **options)
    return read_dicom(folder).geometry


def accept(session: ReviewSession, *phases: int | None, slices: range = range(SHAPE[0])) -> None:
    """Accept slices of some phases."""
    for phase in phases:
        for z in slices:
            session.decide((phase, z), "accepted")


def image_of(folder: Path) -> Path:
    """Return the path of the image of a study made by `make_cine`."""
    return folder.parent / f"{folder.name}_image.nii.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a made study."""
    return make_cine(tmp_path / "heart")


@pytest.fixture
def session(folder: Path) -> ReviewSession:
    """Return the session of the study in ``folder``."""
    return ReviewSession(read_study(folder))
