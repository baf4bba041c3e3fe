"""Small folders of images and labels, and their matching."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from napari_bayes_nnunet.core.problems import Statement
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.matching import Match, match_folders

from .hearts import write_nifti

Result = TypeVar("Result")
SHAPE = (6, 5, 3)  # (x, y, z)
PHASES = 4


def finish(steps: Generator[Any, None, Result]) -> tuple[list[Any], Result]:
    """Return all progress and the result of a generator."""
    progress: list[Any] = []
    return progress, drain(steps, progress.append)


def match(images: Path, labels: Path) -> Match:
    return finish(match_folders(images, labels))[1]


def write(file: Path, voxels: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(file, voxels)
    return file


def image(file: Path, shape: tuple[int, ...] = SHAPE) -> Path:
    return write(file, np.arange(1, np.prod(shape) + 1, dtype=np.int16).reshape(shape))


def cine(file: Path, phases: int = PHASES) -> Path:
    return image(file, (*SHAPE, phases))


def label(file: Path, *values: int, shape: tuple[int, ...] = SHAPE) -> Path:
    voxels = np.zeros(shape, np.uint8)
    voxels.flat[: len(values)] = values
    return write(file, voxels)


def cine_label(file: Path, frames: dict[int, tuple[int, ...]], phases: int = PHASES) -> Path:
    voxels = np.zeros((*SHAPE, phases), np.uint8)
    for frame, values in frames.items():
        voxels[: len(values), 0, 0, frame - 1] = values
    return write(file, voxels)


def reasons(result: Match) -> dict[str, Statement]:
    return {mismatch.file.name: mismatch.reason for mismatch in result.mismatches}


def names(result: Match) -> list[str]:
    return [pair.name for pair in result.pairs]


def add_good(images: Path, labels: Path) -> None:
    """Write a pair that always matches, to show that matching works."""
    image(images / "good.nii.gz")
    label(labels / "good.nii.gz", 1)
