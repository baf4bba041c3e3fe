"""Trajectory of a training through weight space: some layers after every epoch.

RUN/fold_X/trajectory/epoch_0000.npz has one array per layer, named as in nnU-Net's state dict.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.problems import Setting
from .. import DataError
from ..files.atomic import replacing
from ..files.limits import DAMAGED_NPZ, is_stored

Layers = Mapping[str, NDArray[np.float32]]

DAMAGED_EPOCH = "{file} is damaged ({reason}). Delete it to leave out this epoch."
OTHER_LAYERS = "{file} has different layers from the epochs before it. Delete the folder {folder}."


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """Weights of some layers after each of E ``epochs``.

    ``layers``: name → (E, P) float32 for the P weights of a layer, in the order of the network from
    the encoder to the segmentation.
    """

    epochs: NDArray[np.int64]
    layers: Layers


def write_epoch(folder: Path, epoch: int, layers: Layers) -> None:
    """Write the weights of some layers at the end of ``epoch``, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"epoch_{epoch:04d}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **layers)  # type: ignore[arg-type]


def epoch_files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield epoch and file of each kept epoch, in order."""
    numbered = ((file.stem.removeprefix("epoch_"), file) for file in folder.glob("epoch_*.npz"))
    yield from sorted((int(number), file) for number, file in numbered if number.isdigit())


NO_EPOCHS = "{folder} is missing or empty. Train again with {setting}."


def read_trajectory(folder: Path) -> Trajectory:
    """Read all epochs of a fold's folder.

    Raises DataError if there is none, or if one is damaged or of another network.
    """
    files = dict(epoch_files(folder))
    if not files:
        raise DataError(NO_EPOCHS, folder=folder, setting=Setting("keep_trajectory"))
    epochs = [_read(file) for file in files.values()]
    for file, layers in zip(files.values(), epochs, strict=True):
        if {n: w.shape for n, w in layers.items()} != {n: w.shape for n, w in epochs[0].items()}:
            raise DataError(OTHER_LAYERS, file=file, folder=folder)
    return Trajectory(
        epochs=np.array(list(files)),
        layers={name: np.stack([layers[name].ravel() for layers in epochs]) for name in epochs[0]},
    )


def _read(file: Path) -> dict[str, NDArray[np.float32]]:
    try:
        with zipfile.ZipFile(file) as archive:
            if not is_stored(archive, file.stat().st_size):
                raise ValueError("its arrays are compressed")
        # NpzFile allows no pickles unless asked to.
        with file.open("rb") as stream, np.lib.npyio.NpzFile(stream) as content:
            layers = {name: np.asarray(content[name], np.float32) for name in content.files}
    except DAMAGED_NPZ as error:
        reason = error.strerror if isinstance(error, OSError) else ""
        raise DataError(DAMAGED_EPOCH, file=file, reason=reason or str(error)) from error
    return layers
