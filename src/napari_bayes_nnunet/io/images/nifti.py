"""NIfTI images: voxels in the grid they are stored in, and files written back on that grid.

Spacing is read from ``pixdim`` (the header's zooms), never from the affine: in the original ACDC
files the affine has unit scale. Nothing is reoriented or resampled on the way in or out.
"""

from __future__ import annotations

import gzip
import itertools
import math
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import DataError
from ..files.atomic import replacing
from .geometry import Geometry
from .nibabel_types import damaged_nifti, nifti_kinds

ENDINGS = (".nii.gz", ".nii")

VoxelArray: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Volume:
    """An image as stored: (Z, Y, X) or, for a cine, (T, Z, Y, X) voxels and where they lie.

    ``voxels`` has the stored integer type, or float32 where the file holds floats or a scaling.
    """

    voxels: VoxelArray
    geometry: Geometry
    source: Path

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) or (T, Z, Y, X)."""
        return self.geometry.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """(z, y, x), mm."""
        return self.geometry.spacing

    @property
    def frame_time(self) -> float | None:
        """Time between two phases, ms, or None."""
        return self.geometry.frame_time

    @property
    def is_cine(self) -> bool:
        """Whether there is more than one phase."""
        return self.phases > 1

    @property
    def phases(self) -> int:
        """Number of phases; 1 for a volume."""
        return self.shape[0] if len(self.shape) == 4 else 1

    def frame(self, phase: int) -> Volume:
        """Give the (Z, Y, X) volume of a phase, counted from 1, or raise DataError."""
        if not 1 <= phase <= self.phases:
            raise DataError(
                f"{self.source.name} has phases 1 to {self.phases}; there is no phase {phase}."
            )
        voxels = self.voxels[phase - 1] if self.is_cine else self.voxels
        return Volume(voxels, self.geometry.frame(), self.source)


class CardiacPhases(NamedTuple):
    """End-diastole and end-systole of a cine, phases counted from 1."""

    ed: int
    es: int


def read_volume(path: Path | str, *, allow_blank: bool = False) -> Volume:
    """Read an image file. Raises DataError, one sentence, for every file that is of no use.

    A volume whose voxels are all 0 is refused as empty unless ``allow_blank``.
    """
    path = Path(path)
    content = _content(path)
    kind = next(
        (k for k in nifti_kinds() if k.header_class.may_contain_header(content[:540])), None
    )
    if kind is None:
        raise DataError(f"{path} is no NIfTI file: it does not begin with a whole NIfTI header.")
    header = kind.header_class(content[: kind.header_class.sizeof_hdr], check=False)
    _check_header(path, header, len(content))
    geometry = Geometry(header.as_byteswapped("<").binaryblock)
    try:
        stored = np.asanyarray(kind.from_bytes(content).dataobj)
    except damaged_nifti(ValueError, OSError) as error:
        raise DataError(f"{path} has a damaged NIfTI header: {error}.") from error
    voxels = _plain(stored).T.reshape(geometry.shape)
    _check_voxels(path, voxels, allow_blank)
    return Volume(voxels, geometry, path)


def read_labels(path: Path | str) -> Volume:
    """Read a label file: voxels uint8, or uint16 where there are more than 256 labels.

    Raises DataError as ``read_volume`` does, and for values that are no whole numbers from 0.
    """
    volume = read_volume(path, allow_blank=True)
    if not holds_labels(volume.voxels):
        raise DataError(
            f"{path} holds no labels: expected whole numbers from 0 to 65535, "
            f"found {volume.voxels.min()} to {volume.voxels.max()} ({volume.voxels.dtype})."
        )
    return replace(volume, voxels=volume.voxels.astype(_label_type(volume.voxels)))


def holds_labels(voxels: VoxelArray) -> bool:
    """Whether all values are whole numbers that label files can hold (0 to 65535)."""
    whole = voxels.dtype.kind in "bui" or bool((voxels == np.floor(voxels)).all())
    return whole and (voxels.size == 0 or bool(voxels.min() >= 0 and voxels.max() <= 65535))


def case_name(path: Path) -> str:
    """File name without ``.nii`` or ``.nii.gz`` and without one trailing ``_0000``."""
    return _stem(path).removesuffix("_0000")


def channel_files(path: Path) -> list[Path]:
    """Files of a case: ``path``, and if it ends in ``_0000`` its ``_0001 …`` beside it."""
    stem = _stem(path)
    if not stem.endswith("_0000"):
        return [path]
    ending = path.name[len(stem) :]
    names = (f"{stem[:-4]}{channel:04d}{ending}" for channel in itertools.count(1))
    further = itertools.takewhile(Path.is_file, (path.with_name(name) for name in names))
    return [path, *further]


def is_further_channel(path: Path) -> bool:
    """Whether ``path`` is a channel ``_0001 …`` that belongs to an ``_0000`` beside it."""
    stem = _stem(path)
    if not re.search(r"_(?!0000)\d{4}$", stem):
        return False
    return path.with_name(f"{stem[:-4]}0000{path.name[len(stem) :]}").is_file()


def read_channels(path: Path) -> tuple[Volume, ...]:
    """Read all channels of a case. Raises DataError when one of them has another grid."""
    first, *others = (read_volume(file) for file in channel_files(path))
    for other in others:
        if not other.geometry.same_grid(first.geometry):
            raise DataError(
                f"{other.source.name} lies on another grid ({other.geometry}) than the first "
                f"channel {first.source.name} ({first.geometry})."
            )
    return (first, *others)


def write_labels(path: Path | str, labels: VoxelArray, like: Volume | Geometry) -> None:
    """Write (Z, Y, X) or (T, Z, Y, X) labels, uint8 or uint16, with the geometry of ``like``.

    Raises DataError for another grid, for values that are no labels, and when writing fails.
    """
    if labels.dtype.kind not in "bui" or not holds_labels(labels):
        raise DataError(
            f"Labels for {path} must be whole numbers from 0 to 65535, "
            f"not {labels.min(initial=0)} to {labels.max(initial=0)} ({labels.dtype})."
        )
    _write(path, labels.astype(_label_type(labels)), like, intent="label")


def write_map(path: Path | str, values: VoxelArray, like: Volume | Geometry) -> None:
    """Write a (Z, Y, X) or (T, Z, Y, X) map as float32 with the geometry of ``like``.

    Raises DataError for another grid and when writing fails.
    """
    _write(path, values.astype(np.float32), like)


def write_image(path: Path | str, voxels: VoxelArray, like: Volume | Geometry) -> None:
    """Write image intensities with the geometry of ``like``: integers as they are, else float32.

    Raises DataError for another grid and when writing fails.
    """
    _write(path, voxels if voxels.dtype.kind in "ui" else voxels.astype(np.float32), like)


def read_info_cfg(folder: Path) -> CardiacPhases | None:
    """ED and ES from the ``Info.cfg`` of an ACDC patient; None where the folder has none.

    Raises DataError when the file does not say both.
    """
    file = folder / "Info.cfg"
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8", errors="replace")
    found = {key: int(n) for key, n in re.findall(r"^\s*(ED|ES)\s*:\s*(\d+)\s*$", text, re.M)}
    if min(found.get("ED", 0), found.get("ES", 0)) < 1:
        raise DataError(f"{file} should name the phases as 'ED: 1' and 'ES: 12', but does not.")
    return CardiacPhases(found["ED"], found["ES"])


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _content(path: Path) -> bytes:
    """Bytes of the file, unpacked to the end: only there gzip's checksum is compared."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except EOFError as error:
        raise DataError(f"{path} is cut short: its compressed content has no end.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _check_header(path: Path, header: Any, size: int) -> None:
    lengths = [int(length) for length in header["dim"][1 : 1 + max(0, int(header["dim"][0]))]]
    if len(lengths) < 3:
        raise DataError(f"{path} is a {len(lengths)}D image; expected a 3D volume or a 4D cine.")
    if min(lengths) < 1:
        raise DataError(f"{path} is an empty volume: its lengths (x, y, z, …) are {lengths}.")
    if any(length > 1 for length in lengths[4:]):
        raise DataError(f"{path} has more than (x, y, z, t) axes: its lengths are {lengths}.")
    try:
        stored = header.get_data_dtype()
    except damaged_nifti(KeyError) as error:
        code = int(header["datatype"])
        raise DataError(f"{path} has voxels of type code {code}, unknown in NIfTI.") from error
    if stored.kind not in "uif":
        raise DataError(f"{path} has voxels of type {stored}; expected one real number per voxel.")
    steps = [float(step) for step in header["pixdim"][1:4]]
    if not all(math.isfinite(step) and step > 0 for step in steps):
        raise DataError(f"{path} has the spacing (x, y, z) {steps}; all must be above 0.")
    expected = float(header["vox_offset"]) + math.prod(lengths) * stored.itemsize
    if not size >= expected:
        raise DataError(f"{path} is cut short: it holds {size} of {expected:.0f} bytes.")


def _plain(stored: VoxelArray) -> VoxelArray:
    """Give the same numbers in this machine's byte order, floats in single precision."""
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return stored.astype(np.float32, copy=False)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _check_voxels(path: Path, voxels: VoxelArray, allow_blank: bool) -> None:
    bad = int(np.count_nonzero(~np.isfinite(voxels))) if voxels.dtype.kind == "f" else 0
    if bad:
        raise DataError(f"{path} has {bad} voxels (of {voxels.size}) that are NaN or infinite.")
    if not allow_blank and not voxels.any():
        raise DataError(f"{path} is an empty volume: all its voxels are 0.")


def _label_type(labels: VoxelArray) -> type[np.uint8] | type[np.uint16]:
    return np.uint16 if labels.size and labels.max() > 255 else np.uint8


def _write(
    path: Path | str, array: VoxelArray, like: Volume | Geometry, *, intent: str = "none"
) -> None:
    path = Path(path)
    geometry = like.geometry if isinstance(like, Volume) else like
    if array.shape != geometry.shape:
        raise DataError(
            f"{path} needs an array of its image's shape {geometry.shape}, not {array.shape}."
        )
    if not path.name.lower().endswith(ENDINGS):
        raise DataError(f"{path} must end in .nii.gz or .nii to be written as NIfTI.")
    header = geometry.parsed()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1.0, 0.0)
    header.set_intent(intent)
    # Belongs to the source's voxels and file, not to ours; a description may name the patient.
    for field in ("cal_min", "cal_max", "vox_offset"):
        header[field] = 0
    for field in ("descrip", "aux_file", *({"db_name"} & set(header.keys()))):
        header[field] = b""
    kind = next(k for k in nifti_kinds() if k.header_class is type(header))
    image = kind(array.T.reshape(geometry.file_shape), None, header, dtype=array.dtype)
    try:
        with replacing(path) as temporary:
            image.to_filename(temporary)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
