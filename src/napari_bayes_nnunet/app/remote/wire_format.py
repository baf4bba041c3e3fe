"""Arrays and results as they are sent between computers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...io.study.arrays import STEPS_PER_BIT, dump_posterior
from ..segmentation.result import Segmentation, Snapshot, stored_posterior


@dataclass(frozen=True, kw_only=True)
class RemoteSnapshot:
    """Received `Snapshot`, with maps in steps of 1/4096 bit."""

    done: int
    total: int
    eta_seconds: float
    labels: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PackedSnapshot:
    """`Snapshot` as it is sent, with uint8 labels and uint16 maps."""

    done: int
    total: int
    eta_seconds: float
    labels: PackedArray
    entropy: PackedArray
    mutual_information: PackedArray

    @classmethod
    def pack(cls, snapshot: Snapshot) -> PackedSnapshot:
        """Return the packed snapshot."""
        return cls(
            done=snapshot.done,
            total=snapshot.total,
            eta_seconds=snapshot.eta_seconds,
            labels=PackedArray.pack(snapshot.labels),
            entropy=pack_map(snapshot.entropy),
            mutual_information=pack_map(snapshot.mutual_information),
        )

    def unpack(self) -> RemoteSnapshot:
        """Return the snapshot. Raises AppError if the data are damaged."""
        return RemoteSnapshot(
            done=self.done,
            total=self.total,
            eta_seconds=self.eta_seconds,
            labels=self.labels.unpack(),
            entropy=unpack_map(self.entropy),
            mutual_information=unpack_map(self.mutual_information),
        )


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


Step = dict[int, PackedSnapshot] | list[RemoteSegmentation]
"""Image index → snapshot, or the results after the last snapshot."""


QUICKLY = 1
"""Level of zlib; 6 takes half as long again and saves 1 % of a cine."""


@dataclass(frozen=True)
class PackedArray:
    """Compressed array whose voxels do not appear in logs."""

    shape: tuple[int, ...]
    dtype: str
    content: bytes = field(repr=False)

    @classmethod
    def pack(cls, array: NDArray[Any]) -> PackedArray:
        """Return the array with all first bytes of the voxels before all second ones."""
        voxels = np.ascontiguousarray(array)
        planes = voxels.reshape(-1).view(np.uint8).reshape(-1, voxels.itemsize).T
        content = zlib.compress(planes.tobytes(), QUICKLY)
        return cls(voxels.shape, voxels.dtype.str, content)

    def unpack(self) -> NDArray[Any]:
        """Return the same array, to the bit."""
        dtype = np.dtype(self.dtype)
        planes = np.frombuffer(zlib.decompress(self.content), np.uint8)
        voxels = np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T)
        return voxels.reshape(-1).view(dtype).reshape(self.shape)


def pack_map(bits: NDArray[np.floating]) -> PackedArray:
    """Pack a map in bit (0 to 15) in steps of 1/4096 bit, as in a study."""
    return PackedArray.pack(np.rint(bits * STEPS_PER_BIT).astype(np.uint16))


def unpack_map(packed: PackedArray) -> NDArray[np.float32]:
    """Return a packed map as float32, in bit."""
    bits: NDArray[np.float32] = packed.unpack().astype(np.float32)
    bits /= STEPS_PER_BIT
    return bits
