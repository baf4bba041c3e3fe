"""DICOM folders: the short-axis cine in them, as a volume like that of a NIfTI file.

Everything is found by what the headers say, nothing by the names or the order of the files. No
name and no number of a patient is kept: the volume is called by a pseudonym of its series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .. import DataError
from ..images.geometry import Geometry, make_geometry
from ..images.nifti import Volume
from .files import files_in
from .headers import DicomImage, images_of
from .pixels import read_pixels
from .series import Stack, find_stacks
from .slice_positions import affine_of


def stacks_in(*paths: Path, study: str | None = None) -> list[Stack]:
    """All stacks in folders with their sub-folders, and in files; candidates first.

    Those of one ``study`` alone where its UID is given. Raises DataError where there is none.
    """
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist.")
    files = sorted(file for path in paths for file in files_in(path))
    images = [image for file in files for image in images_of(file)]
    asked = [image for image in images if study in (None, image.study)]
    if not asked:
        where = paths[0] if len(paths) == 1 else "The study"
        raise DataError(f"{where} holds no DICOM images that say where they lie in the patient.")
    return find_stacks(asked)


def choose_stack(
    stacks: Sequence[Stack],
    *,
    series: int | None = None,
    tell: Callable[[Stack], str] = str,
    guess: bool = True,
) -> Stack:
    """The short-axis cine: the only candidate, or the one with slices in ``series``.

    With ``guess`` the only stack there is will do, whatever it shows. Raises DataError where that
    leaves none or several, with a list of what there is, each as ``tell`` says it.
    """
    asked = [stack for stack in stacks if series is None or series in stack.series_numbers]
    candidates = [stack for stack in asked if stack.is_short_axis_cine]
    if len(candidates) == 1 or (series is not None and candidates):
        return candidates[0]
    alone = len(asked) == 1 and (guess or asked[0].may_be_short_axis)
    if alone or (series is not None and asked):
        return asked[0]
    listed = "; ".join(map(tell, candidates or stacks))
    if series is not None:
        raise DataError(f"There is no series {series}. There is: {listed}.")
    if not candidates:
        raise DataError(f"No short-axis cine was found; choose a series. There is: {listed}.")
    raise DataError(f"There are {len(candidates)} short-axis cines; choose a series: {listed}.")


def read_dicom(path: Path, *, series: int | None = None) -> Volume:
    """Read the short-axis cine of a folder. Raises DataError where there is no single one."""
    return read_stack(choose_stack(stacks_in(path), series=series), path)


def read_stack(
    stack: Stack, path: Path, *, name: str = "", tell: Callable[[Stack], str] = str
) -> Volume:
    """Read a stack found in ``path``: (T, Z, Y, X), or (Z, Y, X) of a single phase.

    Its ``source`` is no file: it lies beside the folder and is called ``name``, or the pseudonym.
    Raises DataError where slices or phases are missing, or where pixels cannot be read; ``tell``
    says of which stack.
    """
    if stack.problem:
        raise DataError(f"{_begin(tell(stack))} cannot be read: {stack.problem}. Export it again.")
    geometry = stack_geometry(stack)
    images = [one[phase] for phase in range(stack.phases) for one in stack.slices]
    voxels = read_pixels(images).reshape(geometry.shape)
    if not np.isfinite(voxels).all() or not voxels.any():
        raise DataError(f"{_begin(tell(stack))} is empty: all its voxels are 0.")
    return Volume(voxels, geometry, path.absolute().parent / (name or stack.pseudonym))


def read_thumbnail(stack: Stack) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """(Y, X) of the slice in the middle, first phase. Raises DataError where it is unreadable."""
    middle: DicomImage = stack.slices[len(stack.slices) // 2][0]
    return np.asarray(read_pixels([middle])[0])


def stack_geometry(stack: Stack) -> Geometry:
    """Where the voxels of a stack lie."""
    shape = (len(stack.slices), *stack.first.shape)
    return make_geometry(
        (stack.phases, *shape) if stack.phases > 1 else shape,
        stack.spacing,
        frame_time=stack.frame_time,
        affine=affine_of(stack.slices, stack.spacing),
    )


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]
