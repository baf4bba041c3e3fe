"""NIfTI images, read and written in the grid they are stored in.

Images are neither resampled nor flipped. Only an image whose slices lie along another axis than the
slowest stored one has its axes put in order when it is read, and back when a result is written.
"""

from __future__ import annotations

import gzip
import io
import itertools
import math
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.heart.long_axis import LongAxis
from ...core.heart.patient_record import NOBODY, PatientRecord
from ...core.problems import Statement, statement
from ...core.types import Spacing
from .. import DataError
from ..files.access import UNREADABLE, reading, writing
from ..files.atomic import replacing
from ..files.case_names import nifti_stem, other_contrast
from ..files.given_path import given_path
from ..files.limits import CHUNK, LFS_START, read_small_text
from ..files.main_memory import free_main_memory
from ..files.special import may_be_file, refuse_special
from .geometry import Geometry, slices_on_fourth_axis, with_slices_on_third_axis
from .integrity import HEADER_BYTES
from .nibabel_types import nifti_classes, nifti_errors

ENDINGS = (".nii.gz", ".nii")
TRUNCATED = "{file} is truncated. Copy or download it again."
DAMAGED_NIFTI = "{file} is damaged ({reason}). Copy or download it again."
NO_NIFTI = "{file} is not a NIfTI file. Choose a .nii or .nii.gz image."
IMAGE_POINTER = (
    "{file} is only a Git LFS pointer, without the image. Run git lfs pull in its folder to "
    "download the image."
)
BLANK_IMAGE = "{file} is blank (all voxels are 0). Choose another image."
OTHER_GRID = (
    "{file} ({grid}) and {reference} ({expected}) have different voxel grids. Choose files of the "
    "same image."
)
"""For two files, each with its `Geometry`."""

WRONG_INFO_CFG: Final = (
    "{file} names phase {ed} as ED and phase {es} as ES, which are not two different phases of the "
    "image. Correct the file, or choose the phases by number."
)
SLICES_ON_FOURTH_AXIS: Final = (
    "{file} stores {count} slices along its fourth axis, {step} mm apart, where other images have "
    "phases. It was read as a 3D image, and its results are 3D files."
)
ONE_SLICE_CINE: Final = (
    "{file} was read as a cine of {count} phases with one slice. If these are slices, save them as "
    "a 3D image."
)
WRONG_LENGTHS: Final = (
    "{file} is an image with the lengths (x, y, z, …) {lengths}. Choose a 3D image or a 4D cine."
)
WRONG_TYPE: Final = (
    "{file} has voxels of the NIfTI type {code}. Each voxel must be one real number."
)
TOO_LARGE: Final = (
    "The header of {file} describes {voxels:.3g} voxels, but at most {most:.3g} can be read. "
    "Choose another image."
)
MORE_THAN_HEADER: Final = (
    "{file} holds more slices than its header describes. Copy or export it again."
)
NEEDS_MEMORY: Final = "There is not enough memory to read {file}. Close other programs."
MOST_VOXELS: Final = 2**29
"""Voxels of the largest image; a cine of 30 phases of 20 x 512 x 512 has a third of them."""
_PIECE: Final = CHUNK // 8
_FURTHEST: Final = 16 * 2**20
"""Last byte at which voxels may begin."""

VoxelArray: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Volume:
    """Image: (Z, Y, X) or, for a cine, (T, Z, Y, X) voxels, slices first, with their geometry.

    ``voxels`` has the stored integer type, or float32 where the file holds floats or a scaling.
    ``notes`` say what is unusual about its files. ``doubt`` is a clause on why its tags or its name
    are not those of a short-axis cine, "" if its tags are, None if unknown. ``patient`` says whose
    heart it shows. ``long_axes`` are of the same examination, one of each kind at most.
    """

    voxels: VoxelArray
    geometry: Geometry
    source: Path
    notes: tuple[Statement, ...] = ()
    doubt: str | None = None
    patient: PatientRecord = NOBODY
    long_axes: tuple[LongAxis, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) or (T, Z, Y, X)."""
        return self.geometry.shape

    @property
    def spacing(self) -> Spacing:
        """(z, y, x), mm."""
        return self.geometry.spacing

    @property
    def frame_time(self) -> float | None:
        """Time between two phases, ms, or None."""
        return self.geometry.frame_time

    @property
    def is_cine(self) -> bool:
        """Whether the image has more than one phase."""
        return self.phases > 1

    @property
    def phases(self) -> int:
        """Number of phases; 1 for a volume."""
        return self.shape[0] if len(self.shape) == 4 else 1

    def with_spacing(self, spacing: Spacing) -> Volume:
        """Return the same voxels with another ``spacing`` (z, y, x) in mm than the file's."""
        return replace(self, geometry=replace(self.geometry, given_spacing=spacing))

    def frame(self, phase: int) -> Volume:
        """Return the (Z, Y, X) volume of a phase, counted from 1.

        Raises DataError for a phase that does not exist.
        """
        if not 1 <= phase <= self.phases:
            raise DataError(
                "{file} does not have a phase {phase}. Choose a phase from 1 to {phases}.",
                file=self.source.name,
                phase=phase,
                phases=self.phases,
            )
        voxels = self.voxels[phase - 1] if self.is_cine else self.voxels
        return replace(self, voxels=voxels, geometry=self.geometry.frame())


class CardiacPhases(NamedTuple):
    """End-diastole and end-systole of a cine, phases counted from 1."""

    ed: int
    es: int


def read_volume(
    path: Path | str, *, allow_blank: bool = False, like: Geometry | None = None
) -> Volume:
    """Read a 3D image or a 4D cine from a NIfTI file.

    Parameters
    ----------
    path : Path or str
        A .nii or .nii.gz file.
    allow_blank : bool
        Accept an image whose voxels are all 0.
    like : Geometry, optional
        Geometry of the image that the file belongs to, whose axis of the slices and given spacing
        it shares. By default the axis is found from spacing and shape.

    Returns
    -------
    Volume
        (Z, Y, X) or (T, Z, Y, X) voxels of the stored integer type or float32, and the geometry.

    Raises
    ------
    DataError
        If the file is missing, damaged, not a NIfTI image, or blank.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_bayes_nnunet import read_volume
    >>> from napari_bayes_nnunet.io.images.geometry import make_geometry
    >>> from napari_bayes_nnunet.io.images.nifti import write_image
    >>> grid = make_geometry((3, 4, 5), (8.0, 1.5, 1.5))
    >>> write_image("heart.nii.gz", np.ones((3, 4, 5)), grid)
    >>> volume = read_volume("heart.nii.gz")
    >>> volume.shape, volume.spacing
    ((3, 4, 5), (8.0, 1.5, 1.5))
    """
    path = given_path(path)
    header, stored = _content(path)
    as_slices = slices_on_fourth_axis(header)
    if as_slices:
        header = with_slices_on_third_axis(header)
    # Always little endian, so that equal geometries are equal bytes.
    geometry = Geometry(header.as_byteswapped("<").binaryblock)
    try:
        geometry = geometry.with_slices_found() if like is None else geometry.held_like(like)
        voxels = geometry.from_file_order(stored.reshape(geometry.stored_shape))
    except MemoryError as error:
        raise DataError(NEEDS_MEMORY, file=path) from error
    except nifti_errors(ValueError) as error:
        raise DataError(DAMAGED_NIFTI, file=path, reason=error) from error
    _check_voxels(path, voxels, allow_blank)
    doubt = other_contrast(case_name(path)) or None
    notes, whose = _notes(path, geometry, as_slices), PatientRecord(files=(path.name,))
    return Volume(voxels, geometry, path, notes, doubt, whose)


def _notes(path: Path, geometry: Geometry, as_slices: bool | None) -> tuple[Statement, ...]:
    """Return a note on an image of one slice whose fourth axis may hold slices."""
    if as_slices is False:
        return ()
    template = SLICES_ON_FOURTH_AXIS if as_slices else ONE_SLICE_CINE
    z, *_ = geometry.shape
    return (statement(template, file=path.name, count=z, step=f"{geometry.spacing[0]:.4g}"),)


def read_labels(path: Path | str, *, like: Geometry | None = None) -> Volume:
    """Read a label file as uint8, or as uint16 if it has labels above 255.

    ``like`` is that of `read_volume`. Raises DataError as `read_volume` does, and for values that
    are not whole numbers from 0.
    """
    volume = read_volume(path, allow_blank=True, like=like)
    if not holds_labels(volume.voxels):
        raise DataError(
            "{file} holds {type} values from {low} to {high}. A label file must hold whole numbers "
            "from 0 to 65535.",
            file=path,
            type=volume.voxels.dtype,
            low=volume.voxels.min(),
            high=volume.voxels.max(),
        )
    return replace(volume, voxels=volume.voxels.astype(_label_type(volume.voxels)))


def holds_labels(voxels: VoxelArray) -> bool:
    """Return whether all values are whole numbers that label files can hold (0 to 65535)."""
    whole = voxels.dtype.kind in "bui" or bool((voxels == np.floor(voxels)).all())
    return whole and (voxels.size == 0 or bool(voxels.min() >= 0 and voxels.max() <= 65535))


def case_name(path: Path) -> str:
    """Return the file name without ``.nii`` or ``.nii.gz`` and without one trailing ``_0000``."""
    return nifti_stem(path).removesuffix("_0000")


def channel_files(path: Path) -> list[Path]:
    """Return the files of a case: ``path`` and, if it ends in ``_0000``, its ``_0001 …``."""
    stem = nifti_stem(path)
    if not stem.endswith("_0000"):
        return [path]
    ending = path.name[len(stem) :]
    names = (f"{stem[:-4]}{channel:04d}{ending}" for channel in itertools.count(1))
    # nnU-Net numbers channels without gaps.
    further = itertools.takewhile(os.path.isfile, (path.with_name(name) for name in names))
    return [path, *further]


def is_further_channel(path: Path) -> bool:
    """Return whether ``path`` is a channel ``_0001 …`` of an existing ``_0000``."""
    stem = nifti_stem(path)
    if not re.search(r"_(?!0000)\d{4}$", stem):
        return False
    return may_be_file(path.with_name(f"{stem[:-4]}0000{path.name[len(stem) :]}"))


def read_channels(path: Path) -> tuple[Volume, ...]:
    """Read all channels of a case; one may be blank next to others.

    Raises DataError as `read_volume` does, and if a channel has another grid than the first.
    """
    return read_channel_files(channel_files(path))


def read_channel_files(files: Sequence[Path]) -> tuple[Volume, ...]:
    """Read the channels of a case from the given files, as `read_channels` does."""
    first_file, *further = files
    first = read_volume(first_file, allow_blank=True)
    channels = [read_volume(file, allow_blank=True, like=first.geometry) for file in further]
    for channel in channels:
        if not channel.geometry.same_grid(first.geometry):
            names = {"file": channel.source.name, "reference": first.source.name}
            raise DataError(OTHER_GRID, **names, grid=channel.geometry, expected=first.geometry)
    if not any(channel.voxels.any() for channel in (first, *channels)):
        raise DataError(BLANK_IMAGE, file=first.source)
    return (first, *channels)


def write_labels(path: Path | str, labels: VoxelArray, like: Volume | Geometry) -> None:
    """Write labels as a NIfTI file of type uint8, or uint16 if a label is above 255.

    Parameters
    ----------
    path : Path or str
        A file that ends in .nii or .nii.gz. An existing file is replaced.
    labels : array
        (Z, Y, X) or (T, Z, Y, X) whole numbers from 0 to 65535.
    like : Volume or Geometry
        Image whose geometry the file gets.

    Raises
    ------
    DataError
        For another shape or ending, for other values, and if writing fails.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_bayes_nnunet import write_labels
    >>> from napari_bayes_nnunet.io.images.geometry import make_geometry
    >>> from napari_bayes_nnunet.io.images.nifti import read_labels
    >>> labels = np.zeros((3, 4, 5), np.uint8)
    >>> labels[1, 2, 2] = 3
    >>> write_labels("heart_gt.nii.gz", labels, make_geometry(labels.shape, (8.0, 1.5, 1.5)))
    >>> int(read_labels("heart_gt.nii.gz").voxels[1, 2, 2])
    3
    """
    if labels.dtype.kind not in "bui" or not holds_labels(labels):
        raise DataError(
            "The labels for {file} must be whole numbers from 0 to 65535, not {type} values from "
            "{low} to {high}.",
            file=path,
            type=labels.dtype,
            low=labels.min(initial=0),
            high=labels.max(initial=0),
        )
    _write(path, labels.astype(_label_type(labels)), like, intent="label")


def write_map(path: Path | str, values: VoxelArray, like: Volume | Geometry) -> None:
    """Write a map, such as the entropy in bit, as a float32 NIfTI file.

    Parameters
    ----------
    path : Path or str
        A file that ends in .nii or .nii.gz. An existing file is replaced.
    values : array
        (Z, Y, X) or (T, Z, Y, X) numbers.
    like : Volume or Geometry
        Image whose geometry the file gets.

    Raises
    ------
    DataError
        For another shape or ending, and if writing fails.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_bayes_nnunet import read_volume, write_map
    >>> from napari_bayes_nnunet.io.images.geometry import make_geometry
    >>> entropy = np.full((3, 4, 5), 0.25)
    >>> write_map("heart_entropy.nii.gz", entropy, make_geometry(entropy.shape, (8.0, 1.5, 1.5)))
    >>> float(read_volume("heart_entropy.nii.gz").voxels.max())
    0.25
    """
    _write(path, values.astype(np.float32), like)


def write_image(path: Path | str, voxels: VoxelArray, like: Volume | Geometry) -> None:
    """Write image intensities with the geometry of ``like``; any but integers become float32.

    Raises DataError for another shape or ending, and if writing fails.
    """
    _write(path, voxels if voxels.dtype.kind in "ui" else voxels.astype(np.float32), like)


def read_info_cfg(folder: Path, phases: float = math.inf) -> CardiacPhases | None:
    """Return ED and ES from the ``Info.cfg`` of an ACDC patient; None without such a file.

    Raises DataError if the file does not name two different ones of the ``phases`` of the image.
    """
    file = folder / "Info.cfg"
    if not file.is_file():
        return None
    with reading(file):
        # Only its numbers count, whatever the other lines hold.
        text = read_small_text(file, errors="replace")
    ends = parse_info_cfg(file, text)
    if ends.ed == ends.es or max(ends) > phases:
        raise DataError(WRONG_INFO_CFG, file=file, ed=ends.ed, es=ends.es)
    return ends


def parse_info_cfg(file: Path, text: str) -> CardiacPhases:
    """Return ED and ES from the ``text`` of an ``Info.cfg``. Raises DataError without both."""
    frames = {key: int(n) for key, n in re.findall(r"^\s*(ED|ES)\s*:\s*(\d+)\s*$", text, re.M)}
    if min(frames.get("ED", 0), frames.get("ES", 0)) < 1:
        raise DataError(
            "{file} does not name both phases. Add lines such as 'ED: 1' and 'ES: 12'.", file=file
        )
    return CardiacPhases(frames["ED"], frames["ES"])


def _content(path: Path) -> tuple[Any, VoxelArray]:
    """Return nibabel's header of the file, and its voxels in one row.

    The rest is unpacked and discarded, so that gzip verifies its checksum.
    """
    try:
        refuse_special(path)
        with path.open("rb") as file:
            # By its first bytes, because endings may be wrong.
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                return _read_image(path, file)
            with io.BufferedReader(gzip.GzipFile(fileobj=file), _PIECE) as stream:
                return _read_image(path, stream)
    except FileNotFoundError as error:
        raise DataError("{file} does not exist.", file=path) from error
    except EOFError as error:
        raise DataError(TRUNCATED, file=path) from error
    except nifti_errors(gzip.BadGzipFile, zlib.error) as error:
        raise DataError(DAMAGED_NIFTI, file=path, reason=error) from error
    except MemoryError as error:
        raise DataError(NEEDS_MEMORY, file=path) from error
    except OSError as error:
        raise DataError(UNREADABLE, file=path, reason=error.strerror) from error


def _read_image(path: Path, stream: BinaryIO) -> tuple[Any, VoxelArray]:
    """Read header and voxels. Raises DataError if at least one more slice follows.

    A shorter rest is ignored, because some programs pad their files.
    """
    start = stream.read(HEADER_BYTES)
    kind = next((k for k in nifti_classes() if k.header_class.may_contain_header(start)), None)
    if start.startswith(LFS_START):
        raise DataError(IMAGE_POINTER, file=path)
    if kind is None:
        raise DataError(NO_NIFTI, file=path)
    block = start[: kind.header_class.sizeof_hdr]
    header = kind.header_class(block, check=False)
    offset, count = _check_header(path, header)
    kind.header_class(block)  # raises for values that contradict each other
    stream.seek(offset)
    voxels = _read_voxels(path, stream, header, count)
    of_slice = math.prod(header.get_data_shape()[:2]) * header.get_data_dtype().itemsize
    surplus = 0
    while surplus < of_slice and (chunk := stream.read(_PIECE)):
        surplus += len(chunk)
    if surplus >= of_slice:
        raise DataError(MORE_THAN_HEADER, file=path)
    return header, voxels


def _read_voxels(path: Path, stream: BinaryIO, header: Any, count: int) -> VoxelArray:
    """Read ``count`` scaled voxels: in native byte order, floats in single precision.

    Raises DataError, before anything is unpacked, if they do not fit into the free memory.
    """
    from nibabel.volumeutils import apply_read_scaling

    stored, (slope, intercept) = header.get_data_dtype(), header.get_slope_inter()
    is_scaled = slope is not None and (slope, intercept) != (1, 0)
    kind = np.dtype(np.float32) if stored.kind == "f" or is_scaled else stored.newbyteorder("=")
    # Two bytes more per voxel, because the values are checked.
    if count * (kind.itemsize + 2) > free_main_memory():
        raise DataError(NEEDS_MEMORY, file=path)
    voxels = np.empty(count, kind)
    # In pieces, because whatever is unpacked or scaled at once takes several times the memory.
    for piece in np.split(voxels, range(_PIECE, count, _PIECE)):
        content = stream.read(piece.size * stored.itemsize)
        if len(content) < piece.size * stored.itemsize:
            raise DataError(TRUNCATED, file=path)
        # A number beyond float32 becomes infinite, which is refused with its count.
        with np.errstate(over="ignore"):
            piece[:] = apply_read_scaling(np.frombuffer(content, stored), slope, intercept)
    return voxels


def _check_header(path: Path, header: Any) -> tuple[int, int]:
    """Return the first byte and the number of the voxels of a file with this header."""
    lengths = [int(length) for length in header["dim"][1 : 1 + max(0, int(header["dim"][0]))]]
    if len(lengths) < 3 or min(lengths) < 1 or max(lengths[4:], default=1) > 1:
        raise DataError(WRONG_LENGTHS, file=path, lengths=lengths)
    try:
        stored = header.get_data_dtype()
    except nifti_errors(KeyError):
        stored = np.dtype(object)
    if stored.kind not in "uif":
        raise DataError(WRONG_TYPE, file=path, code=int(header["datatype"]))
    steps = [float(step) for step in header["pixdim"][1:4]]
    if not all(math.isfinite(step) and step > 0 for step in steps):
        raise DataError(
            "{file} has the spacing (x, y, z) {spacing}. Each number must be above 0.",
            file=path,
            spacing=steps,
        )
    offset = float(header["vox_offset"]) or header.single_vox_offset  # 0 means: after the header
    if not 0 <= offset <= _FURTHEST:  # this refuses NaN too
        raise DataError(DAMAGED_NIFTI, file=path, reason=f"its voxels begin at byte {offset:g}")
    if (voxels := math.prod(lengths)) > MOST_VOXELS:
        raise DataError(TOO_LARGE, file=path, voxels=voxels, most=MOST_VOXELS)
    return int(offset), voxels


def _check_voxels(path: Path, voxels: VoxelArray, allow_blank: bool) -> None:
    bad = int(np.count_nonzero(~np.isfinite(voxels))) if voxels.dtype.kind == "f" else 0
    if bad:
        raise DataError(
            "{file} has NaN or infinity in {count} of {total} voxels. Replace them, or choose "
            "another image.",
            file=path,
            count=bad,
            total=voxels.size,
        )
    if not allow_blank and not voxels.any():
        raise DataError(BLANK_IMAGE, file=path)


def _label_type(labels: VoxelArray) -> type[np.uint8] | type[np.uint16]:
    return np.uint16 if labels.size and labels.max() > 255 else np.uint8


def _write(
    path: Path | str, array: VoxelArray, like: Volume | Geometry, *, intent: str = "none"
) -> None:
    path = given_path(path)
    geometry = like.geometry if isinstance(like, Volume) else like
    if array.shape != geometry.shape:
        raise DataError(
            "The array for {file} has the shape {shape}, but its image has {expected}.",
            file=path,
            shape=array.shape,
            expected=geometry.shape,
        )
    if not path.name.lower().endswith(ENDINGS):
        raise DataError(
            "{file} cannot be written as NIfTI. Choose a name that ends in .nii.gz or .nii.",
            file=path,
        )
    header = geometry.parsed()
    header.set_data_dtype(array.dtype)
    # The scaling of the source would be applied to the new values.
    header.set_slope_inter(1.0, 0.0)
    header.set_intent(intent)
    # These fields describe the source's voxels and file; a description may name the patient.
    for field in ("cal_min", "cal_max", "vox_offset"):
        header[field] = 0
    for field in ("descrip", "aux_file", *({"db_name"} & set(header.keys()))):
        header[field] = b""
    kind = next(k for k in nifti_classes() if k.header_class is type(header))
    # nibabel takes (x, y, z), and the file's trailing axes of length 1.
    stored = geometry.to_file_order(array).T.reshape(geometry.file_shape)
    # Without an affine, so that both forms of the header stay as they are.
    image = kind(stored, None, header, dtype=array.dtype)
    with writing(path), replacing(path) as temporary:
        image.to_filename(temporary)
