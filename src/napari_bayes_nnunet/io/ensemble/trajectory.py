"""The way of a training through the space of its weights: some layers after every epoch.

RUN/fold_X/trajectory/epoch_0000.npz, one array a layer, named as in nnU-Net's state dict.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import DataError
from ..files.atomic import replacing

# What zipfile and NumPy raise on bytes that are no whole archive of arrays.
_DAMAGED = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

Layers = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """``layers``: name → (E, P) float32, the P weights of a layer after each of E ``epochs``.

    The layers are in the network's order: the encoder first, the segmentation last.
    """

    epochs: NDArray[np.int64]
    layers: Layers


def write_epoch(folder: Path, epoch: int, layers: Layers) -> None:
    """Keep the weights of some layers at the end of ``epoch``, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"epoch_{epoch:04d}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **layers)  # type: ignore[arg-type]


def epoch_files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Epoch and file of everything that was kept, in order."""
    numbered = ((file.stem.removeprefix("epoch_"), file) for file in folder.glob("epoch_*.npz"))
    yield from sorted((int(number), file) for number, file in numbered if number.isdigit())


def read_trajectory(folder: Path) -> Trajectory:
    """Read all epochs of a fold's folder. Raises DataError where there is none, or one is odd."""
    files = dict(epoch_files(folder))
    if not files:
        raise DataError(
            f"{folder} does not exist or is empty: train with --keep-trajectory, which keeps some "
            "layers of every epoch."
        )
    epochs = [_read(file) for file in files.values()]
    for file, layers in zip(files.values(), epochs, strict=True):
        if {n: w.shape for n, w in layers.items()} != {n: w.shape for n, w in epochs[0].items()}:
            raise DataError(f"{file} holds other layers than the epochs before: remove the folder.")
    return Trajectory(
        epochs=np.array(list(files)),
        layers={name: np.stack([layers[name].ravel() for layers in epochs]) for name in epochs[0]},
    )


def _read(file: Path) -> dict[str, NDArray[np.float32]]:
    try:
        with file.open("rb") as stream, np.lib.npyio.NpzFile(stream) as content:
            layers = {name: np.asarray(content[name], np.float32) for name in content.files}
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) else ""
        raise DataError(f"{file} is damaged: {reason or error}.") from error
    return layers
