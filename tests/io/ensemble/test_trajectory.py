"""Layers of every epoch: written, read in order, dropped on a resume, refused when damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, forget_from, write_record
from napari_bayes_nnunet.io.ensemble.trajectory import (
    DAMAGED_EPOCH,
    OTHER_LAYERS,
    epoch_files,
    read_trajectory,
    write_epoch,
)

from .test_run_folder import make_record

LAYERS = {"encoder.first": (2, 1, 3, 3), "decoder.last": (4, 2, 3, 3)}


def layers_of(epoch: int) -> dict[str, Any]:
    """Layers filled with the number of their epoch, the last weight of each with 100."""
    made = {name: np.full(shape, epoch, np.float32) for name, shape in LAYERS.items()}
    for layer in made.values():
        layer.flat[-1] = 100
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Epochs 8 to 12, written in another order."""
    for epoch in (9, 10, 8, 12, 11):
        write_epoch(tmp_path / "fold_0" / "trajectory", epoch, layers_of(epoch))
    return tmp_path / "fold_0" / "trajectory"


def test_epochs_are_read_in_order(folder):
    trajectory = read_trajectory(folder)
    assert trajectory.epochs.tolist() == [8, 9, 10, 11, 12]
    assert list(trajectory.layers) == list(LAYERS)  # as in the network
    for name, shape in LAYERS.items():
        weights = trajectory.layers[name]
        assert (weights.shape, weights.dtype) == ((5, np.prod(shape)), np.float32)
        assert weights[:, 0].tolist() == [8, 9, 10, 11, 12]
        assert (weights[:, -1] == 100).all()


def test_resuming_deletes_the_epochs_that_follow(folder):
    run = RunFolder(folder.parents[1])
    write_record(run.record, make_record())
    (folder / ".writing-a-epoch_0012.npz").touch()
    (folder / "epoch_x.npz").touch()
    write_epoch(run.trajectory("1"), 11, layers_of(11))
    forget_from(run, "0", 10)
    assert sorted(f.name for f in folder.iterdir()) == [
        "epoch_0008.npz", "epoch_0009.npz", "epoch_x.npz",
    ]  # fmt: skip
    assert [epoch for epoch, _ in epoch_files(run.trajectory("1"))] == [11]


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def change_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 255
    file.write_bytes(content)


def plain_array(file: Path) -> None:
    with file.open("wb") as stream:
        np.save(stream, np.zeros(3))


def objects(file: Path) -> None:
    np.savez(file, **{"decoder.last": np.array([{}], object)})


def compressed(file: Path) -> None:
    np.savez_compressed(file, **{"decoder.last": np.zeros(2**20, np.float32)})


def another_archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "no array")


DAMAGES = [
    cut_short, change_a_byte, plain_array, objects, compressed, another_archive,
    lambda f: f.write_bytes(b""), lambda f: f.write_text("text"), lambda f: (f.unlink(), f.mkdir()),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(folder, damage):
    damage(folder / "epoch_0010.npz")
    with pytest.raises(DataError) as caught:
        read_trajectory(folder)
    assert caught.value.statement.template in (DAMAGED_EPOCH, OTHER_LAYERS)
    assert caught.value.values["file"] == folder / "epoch_0010.npz"


def test_layers_of_another_network_are_refused(folder):
    write_epoch(folder, 10, {"encoder.first": np.zeros((2, 1, 3, 3), np.float32)})
    with pytest.raises(DataError) as caught:
        read_trajectory(folder)
    assert caught.value.statement.template == OTHER_LAYERS
    assert caught.value.values == {"file": folder / "epoch_0010.npz", "folder": folder}
