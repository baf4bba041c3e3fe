"""Made studies: a small heart, its image file, and members that differ slightly."""

from pathlib import Path
from typing import Any

import numpy as np

from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior, most_probable
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.io.study.arrays import round_map
from napari_bayes_nnunet.io.study.info import SourceImage, StudyInfo
from napari_bayes_nnunet.io.study.study import write_study

AFFINE = np.array([[-0.9, 0.4, -5.0, 14], [-0.9, -0.35, 5.3, 185], [0, -1.2, -3.3, 110], [0, 0, 0, 1]])  # fmt: skip # noqa: E501
VOLUME = make_geometry((4, 20, 24), (8, 1.5, 1.25), affine=AFFINE)
CINE = make_geometry((5, 4, 20, 24), (8, 1.5, 1.25), frame_time=46, affine=AFFINE)
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


def made_posterior(
    shape: tuple[int, ...] = VOLUME.shape, *, members: int = 3, shift: int = 0
) -> StoredPosterior:
    """Return the posterior of a ring around a cavity, slightly larger in each member."""
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    radius = np.hypot(y - shape[1] / 2, x - shape[2] / 2 - shift)
    running = RunningPosterior()
    labels = []
    for member in range(members):
        certain = np.zeros(shape, np.uint8)
        certain[radius < 6 + 0.6 * member] = 2
        certain[radius < 4 + 0.4 * member] = 3
        certain[z == shape[0] - 1] = 0
        probabilities = np.where(certain == np.arange(4)[:, None, None, None], 0.85, 0.05)
        probabilities[:, (radius > 9) | (z == shape[0] - 1)] = np.eye(4)[:, :1]
        running.add(probabilities.astype(np.float32))
        labels.append(most_probable(probabilities))
    return StoredPosterior.from_members(
        running.mean(),
        labels,
        prediction=running.labels(),
        maps={name: round_map(entry.measure(running)) for name, entry in MAPS.items()},
    )


def made_report(dice: float | None = 0.9, **changes: Any) -> dict[str, Any]:
    """Return a short report of a case, as in its JSON file."""
    agreement = dict.fromkeys(STRUCTURES, dice)
    given = {
        "format": 2,
        "ensemble": "made",
        "method": "multi",
        "pairwise_dice": agreement,
        "warnings": [],
    }
    return given | changes


def made_image(path: Path, geometry: Geometry = VOLUME) -> Path:
    """Write an image file on the grid."""
    voxels = np.arange(1, 1 + np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)
    write_image(path, voxels, geometry)
    return path


def made_info(
    image: Path | None, *, phases: tuple[int | None, ...] = (None,), **changes: Any
) -> StudyInfo:
    """Return the study info of the case "heart"."""
    given: dict[str, Any] = {
        "case": "heart",
        "image": None if image is None else SourceImage.from_file(image),
        "geometry": VOLUME if phases == (None,) else CINE,
        "structures": STRUCTURES,
        "classes": 4,
        "phases": phases,
        "reports": {phase: made_report() for phase in phases},
    }
    return StudyInfo(**(given | changes))


def make_study(folder: Path, *, phases: tuple[int | None, ...] = (None,), **changes: Any) -> Path:
    """Write a study of a volume or of some phases of a cine, next to its image."""
    geometry = VOLUME if phases == (None,) else CINE
    image = made_image(folder.parent / f"{folder.name}_image.nii.gz", geometry)
    info = made_info(image, phases=phases, **changes)
    write_study(folder, info, {p: made_posterior(shift=(p or 0) % 3) for p in phases})
    return folder
