"""Ensembles of the full size with random weights, images, and hearts in the size of ACDC."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from tests.helpers.data.hearts import make_dataset, write_nifti
from tests.helpers.data.models import make_model, plans

from .piece import Size

SPACING = (10.0, 1.4, 1.4)
"""Voxel size of the images in mm (z, y, x); the network's is 1.5625 mm, so they are resampled."""


def full_size_plans(size: Size) -> dict[str, Any]:
    """Return nnU-Net's plans for ACDC in 2D, with the features and the patch of a size."""
    made = plans()
    stages = len(size.features)
    configuration = made["configurations"]["2d"]
    configuration["patch_size"] = list(size.patch)
    configuration["spacing"] = [1.5625, 1.5625]
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": list(size.features),
        "kernel_sizes": [[3, 3]] * stages,
        "strides": [[1, 1], *[[2, 2]] * (stages - 1)],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    return made


def random_ensemble(folder: Path, size: Size) -> Path:
    """Return an ensemble of random members, which is made if it is missing."""
    name = "nnUNetTrainer__nnUNetPlans__2d"
    if not (folder / name).exists():
        scratch = folder.with_name(f".{folder.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        make_model(scratch, members=size.members, written=full_size_plans(size))
        scratch.rename(folder)
    return folder / name


def random_image(size: Size) -> NDArray[np.float32]:
    """Return a noisy image of bright blobs (1, Z, Y, X)."""
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(size=size.shape)
    return (100 + 300 * ndimage.gaussian_filter(noise, 3)).astype(np.float32)[None]


def made_hearts(folder: Path, size: Size) -> Path:
    """Return an nnU-Net raw dataset of made hearts, which is made if it is missing.

    With ``enlarged`` 5 an image has 10 slices of 240 × 200 voxels, about those of ACDC.
    """
    if not folder.exists():
        scratch = folder.with_name(f".{folder.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        make_dataset(scratch, patients=size.patients)
        if size.enlarged > 1:
            for file in scratch.rglob("*.nii.gz"):
                voxels = np.asanyarray(nibabel.load(file).dataobj)
                for axis in (0, 1):
                    voxels = voxels.repeat(size.enlarged, axis)
                write_nifti(file, voxels.repeat(3, 2)[..., :10])
        scratch.rename(folder)
    return folder
