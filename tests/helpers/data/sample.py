"""Sample cine with fewer slices and phases, which are segmented sooner."""

from pathlib import Path

import nibabel
import numpy as np

from napari_bayes_nnunet.sample_data import CINE

PHASES = (1, 4, 7, 10, 13, 16, 20)
ED, ES = 7, 3
"""Numbers of end-diastole and end-systole among `PHASES`, from 1."""


def write_small_cine(folder: Path) -> Path:
    """Write the middle four slices of `PHASES` of the sample cine, and Info.cfg, to ``folder``."""
    image = nibabel.load(CINE).slicer[:, :, 3:7]
    voxels = np.asanyarray(image.dataobj)[..., np.array(PHASES) - 1]
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), folder / CINE.name)
    (folder / "Info.cfg").write_text(f"ED: {ED}\nES: {ES}\nNbFrame: {len(PHASES)}\n")
    return folder / CINE.name
