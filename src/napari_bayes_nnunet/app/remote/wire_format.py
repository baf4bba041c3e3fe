"""What another computer says of an image, as it travels and as it arrives."""

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
    """A `Snapshot` that has arrived; its maps are in steps of 1/4096 bit."""

    done: int
    total: int
    eta_seconds: float
    labels: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PackedSnapshot:
    """A `Snapshot` as it travels: labels uint8, maps in 16 bit."""

    done: int
    total: int
    eta_seconds: float
    labels: PackedArray
    entropy: PackedArray
    mutual_information: PackedArray

    @classmethod
    def of(cls, snapshot: Snapshot) -> PackedSnapshot:
        """What the members say so far."""
        return cls(
            done=snapshot.done,
            total=snapshot.total,
            eta_seconds=snapshot.eta_seconds,
            labels=PackedArray.of(snapshot.labels),
            entropy=packed_map(snapshot.entropy),
            mutual_information=packed_map(snapshot.mutual_information),
        )

    def unpacked(self) -> RemoteSnapshot:
        """The arrays again."""
        return RemoteSnapshot(
            done=self.done,
            total=self.total,
            eta_seconds=self.eta_seconds,
            labels=self.labels.unpacked(),
            entropy=unpacked_map(self.entropy),
            mutual_information=unpacked_map(self.mutual_information),
        )


@dataclass(frozen=True)
class RemoteSegmentation:
    """The report of a `Segmentation`, and the content of its file of the posterior.

    What else there is of it has come with the last snapshot.
    """

    content: dict[str, Any] = field(repr=False)
    posterior: bytes = field(repr=False)

    @classmethod
    def of(cls, result: Segmentation) -> RemoteSegmentation:
        """What a review needs."""
        stream = BytesIO()
        dump_posterior(stream, stored_posterior(result))
        return cls(result.report(), stream.getvalue())

    def report(self) -> dict[str, Any]:
        """The content of ``<case>.json``."""
        return self.content


Step = dict[int, PackedSnapshot] | list[RemoteSegmentation]
"""The snapshots of the images by their places; after the last of them the results."""


QUICKLY = 1
"""Level of zlib; 6 takes half as long again and saves 1 % of a cine."""


@dataclass(frozen=True)
class PackedArray:
    """An array whose voxels no log can show."""

    shape: tuple[int, ...]
    dtype: str
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, array: NDArray[Any]) -> PackedArray:
        """All the first bytes of the voxels, then all the second: they compress a fifth better."""
        voxels = np.ascontiguousarray(array)
        planes = voxels.reshape(-1).view(np.uint8).reshape(-1, voxels.itemsize).T
        content = zlib.compress(planes.tobytes(), QUICKLY)
        return cls(voxels.shape, voxels.dtype.str, content)

    def unpacked(self) -> NDArray[Any]:
        """The same array, to the bit."""
        dtype = np.dtype(self.dtype)
        planes = np.frombuffer(zlib.decompress(self.content), np.uint8)
        voxels = np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T)
        return voxels.reshape(-1).view(dtype).reshape(self.shape)


def packed_map(bits: NDArray[np.floating]) -> PackedArray:
    """A map in bit (0 … 15) in steps of 1/4096 bit, as studies keep it."""
    return PackedArray.of(np.rint(bits * STEPS_PER_BIT).astype(np.uint16))


def unpacked_map(packed: PackedArray) -> NDArray[np.float32]:
    """The map, float32, bit."""
    bits: NDArray[np.float32] = packed.unpacked().astype(np.float32)
    bits /= STEPS_PER_BIT
    return bits
