"""Sample cine with fewer slices, which are segmented sooner."""

import shutil
from pathlib import Path

import nibabel

from napari_bayes_nnunet.sample_data import CINE


def write_middle_slices(folder: Path) -> Path:
    """Write the middle four slices and the Info.cfg of the sample cine to ``folder``."""
    image = nibabel.load(CINE)
    nibabel.save(image.slicer[:, :, 3:7], folder / CINE.name)
    shutil.copyfile(CINE.parent / "Info.cfg", folder / "Info.cfg")
    return folder / CINE.name
