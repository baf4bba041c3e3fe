"""Targets of a student: probabilities and mutual information of the ensemble, for each case.

They are stored on the grid of the preprocessed images, next to which the training reads them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import blosc2
import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from numpy.typing import NDArray

from ...io.files.atomic import replacing
from ..seals import is_sealed, seal_files

STEPS: Final = 4096
"""Steps from 0 to 1 in which targets are stored; smaller values, and most of the air, are 0."""
_BYTES: Final = np.dtype(np.uint16).itemsize


def write_targets(
    file: Path, probabilities: NDArray[np.float32], mutual_information: NDArray[np.float32]
) -> None:
    """Write the targets of a case, atomically.

    ``probabilities`` (C, Z, Y, X) and ``mutual_information`` (Z, Y, X) in bit become C channels:
    the probabilities without the background, and the mutual information as a part of its largest
    value, log2 C bit. So 0 means background on which all members agree, as outside of an image.
    """
    part = mutual_information[None] / math.log2(len(probabilities))
    channels = np.concatenate([probabilities[1:], part])
    steps = np.rint(channels * STEPS).clip(0, STEPS).astype(np.uint16)
    chunks = len(steps), 1, *steps.shape[2:]  # of a slice, because a 2D training reads slices
    array = blosc2.asarray(np.ascontiguousarray(steps), chunks=chunks)
    with replacing(file) as temporary:
        temporary.write_bytes(array.to_cframe())
    seal_files([file])


def has_targets(file: Path, image: Path) -> bool:
    """Return whether this installation wrote the targets of the preprocessed ``image`` to a file.

    Others could run code when they are opened.
    """
    return is_sealed([file]) and bool(_open(file).shape[1:] == image_shape(image))


def _open(file: Path) -> Any:
    """Return an array of this installation, which is read where it is sliced."""
    # One thread, as nnU-Net opens its own: each loading process reads by itself.
    return blosc2.open(urlpath=str(file), mode="r", dparams={"nthreads": 1})


def image_shape(image: Path) -> tuple[int, ...]:
    """Return the (Z, Y, X) shape of a preprocessed image of this installation."""
    return tuple(_open(image).shape[1:])


def read_image_array(image: Path) -> NDArray[np.float32]:
    """Return a preprocessed image (channels, Z, Y, X) of this installation."""
    return np.asarray(_open(image)[:], dtype=np.float32)


def largest_size(images: Sequence[Path], *, classes: int) -> int:
    """Return the bytes of the targets of some images if they could not be compressed at all."""
    return sum(math.prod(image_shape(image)) for image in images) * classes * _BYTES


class TaughtDataset(nnUNetDatasetBlosc2):
    """Preprocessed cases whose images have the targets of the folder ``targets`` as last channels.

    All of them are files of this installation.
    """

    def __init__(self, folder: str, identifiers: list[str], *, targets: Path) -> None:
        super().__init__(folder, identifiers)
        self.targets = targets

    def load_case(self, identifier: str) -> tuple[Any, Any, Any | None, dict[str, Any]]:
        """Return image with targets, labels, None, and properties."""
        image, labels, previous, properties = super().load_case(identifier)
        targets = _open(self.targets / f"{identifier}.b2nd")
        return ImageWithTargets(image, targets), labels, previous, properties


class ImageWithTargets:
    """Channels of an image followed by those of its targets, read from the files where sliced."""

    def __init__(self, image: Any, targets: Any) -> None:
        self._image, self._targets = image, targets
        self.shape: tuple[int, ...] = (len(image) + len(targets), *image.shape[1:])

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return all channels (C, z, y, x) of a box, targets from 0 to 1."""
        box = (slice(None), *index[1:])
        image = np.asarray(self._image[box], dtype=np.float32)
        targets = np.asarray(self._targets[box], dtype=np.float32) / STEPS
        return np.concatenate([image, targets])


class SplitTargets(BasicTransform):
    """Separation of targets from the first ``channels`` of an image, which alone change contrast.

    The targets are moved with the image, interpolated linearly.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def apply(self, data_dict: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        """Return the sample with its targets apart."""
        both: torch.Tensor = data_dict["image"]
        parts = {"image": both[: self.channels], "regression_target": both[self.channels :]}
        return {**data_dict, **parts}


class TeachTargets(BasicTransform):
    """Replacement of the labels of a sample by its targets, as what the network has to learn."""

    def apply(self, data_dict: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        """Return the image, and the targets in place of the labels."""
        return {"image": data_dict["image"], "segmentation": data_dict["regression_target"]}


def with_targets(transforms: ComposeTransforms, *, channels: int) -> ComposeTransforms:
    """Return nnU-Net's transforms for samples of ``channels`` with targets after them."""
    return ComposeTransforms([SplitTargets(channels), *transforms.transforms, TeachTargets()])
