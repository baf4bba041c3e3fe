"""Arrays and results as they are sent between computers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from io import BytesIO
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.problems import Action
from ...io.study.arrays import STEPS_OF_MAPS, dump_posterior
from .. import AppError
from ..segmentation.result import FirstLook, Segmentation, Snapshot, stored_posterior


@dataclass(frozen=True, kw_only=True)
class RemoteSnapshot:
    """Received `Snapshot`, with maps in steps of 1/4096."""

    done: int
    total: int
    eta_seconds: float
    labels: NDArray[np.uint8]
    maps: dict[str, NDArray[np.float32]]


Shown = TypeVar("Shown", RemoteSnapshot, FirstLook)


@dataclass(frozen=True)
class PackedMaps(Generic[Shown]):
    """Snapshot or look of the class ``made`` as it is sent, with uint8 labels and uint16 maps."""

    made: type[Shown]
    labels: PackedArray
    maps: dict[str, PackedArray]
    others: dict[str, Any]

    @classmethod
    def pack(cls, made: type[Shown], shown: Snapshot | FirstLook) -> Self:
        """Return the packed snapshot or look."""
        names = {entry.name for entry in fields(made)} - {"labels", "maps"}
        others = {name: getattr(shown, name) for name in names}
        maps = {name: _pack_map(values) for name, values in shown.maps.items()}
        return cls(made, PackedArray.pack(shown.labels), maps, others)

    def unpack(self) -> Shown:
        """Return the snapshot or look. Raises AppError if the data are damaged."""
        maps = {name: _unpack_map(packed) for name, packed in self.maps.items()}
        return self.made(labels=self.labels.unpack(), maps=maps, **self.others)


@dataclass(frozen=True)
class RemoteSegmentation:
    """Report of a `Segmentation` and the content of its posterior file.

    Labels and maps are not repeated, because the last snapshot has them.
    """

    content: dict[str, Any] = field(repr=False)
    posterior: bytes = field(repr=False)

    @classmethod
    def from_result(cls, result: Segmentation) -> RemoteSegmentation:
        """Return the parts of a result that a review needs."""
        stream = BytesIO()
        dump_posterior(stream, stored_posterior(result))
        return cls(result.report(), stream.getvalue())

    def report(self) -> dict[str, Any]:
        """Return the content of ``<case>.json``."""
        return self.content


Step = dict[int, PackedMaps[RemoteSnapshot]] | list[RemoteSegmentation]
"""Image index → snapshot, or the results after the last snapshot."""


LEVEL = 1
"""Compression level of Zstandard; 5 takes eight times as long and saves 2 % of a cine."""
LARGEST_ARRAY = 2**33
"""Largest array that is unpacked: a small frame can announce any size."""
DAMAGED_DATA = "The data from the other computer are damaged."


@dataclass(frozen=True)
class PackedArray:
    """Compressed array whose voxels do not appear in logs."""

    shape: tuple[int, ...]
    dtype: str
    content: bytes = field(repr=False)

    @classmethod
    def pack(cls, array: NDArray[Any]) -> PackedArray:
        """Return the array as a Blosc2 frame."""
        import blosc2

        voxels = np.ascontiguousarray(array)
        options = blosc2.CParams(codec=blosc2.Codec.ZSTD, clevel=LEVEL, typesize=voxels.itemsize)
        content = blosc2.pack_array2(voxels, cparams=options)
        return cls(voxels.shape, voxels.dtype.str, content)

    def unpack(self) -> NDArray[Any]:
        """Return the same array, to the bit.

        Raises AppError unless the frame has the size of ``shape`` and ``dtype``, at most
        `LARGEST_ARRAY`.
        """
        import blosc2

        try:
            dtype, nbytes = self._checked_size()
            frame = blosc2.schunk_from_cframe(self.content)
            if (frame.nbytes, frame.typesize) != (nbytes, dtype.itemsize):
                raise ValueError
            voxels = np.empty(self.shape, dtype)
            # Not unpack_array2, which trusts the metadata of the frame: they can ask for an array
            # of objects or of any size.
            frame.get_slice(out=voxels)
        except (ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
            raise AppError(DAMAGED_DATA, Action.START_AGAIN) from error
        return voxels

    def _checked_size(self) -> tuple[np.dtype[Any], int]:
        """Return the type and the size in bytes. Raises TypeError or ValueError."""
        dtype = np.dtype(self.dtype)
        nbytes = math.prod(self.shape) * dtype.itemsize
        if dtype.kind not in "buif" or min(self.shape, default=0) < 0 or nbytes > LARGEST_ARRAY:
            raise ValueError
        return dtype, nbytes


def _pack_map(values: NDArray[np.floating]) -> PackedArray:
    """Pack a map, from 0 to 15, in steps of 1/4096, as in a study."""
    return PackedArray.pack(np.rint(values * STEPS_OF_MAPS).astype(np.uint16))


def _unpack_map(packed: PackedArray) -> NDArray[np.float32]:
    """Return a packed map as float32."""
    values: NDArray[np.float32] = packed.unpack().astype(np.float32)
    values /= STEPS_OF_MAPS
    return values
