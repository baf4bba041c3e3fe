"""Posteriors and labels of a study survive their files, and bad files are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.study.arrays import (
    DAMAGED_POSTERIOR,
    FOREIGN_POSTERIOR,
    foreign_values,
    read_posterior,
    round_map,
    write_posterior,
)

from ...helpers.checks.problems import says
from ...helpers.data.studies import STRUCTURES, made_posterior


@pytest.fixture
def posterior() -> StoredPosterior:
    return made_posterior()


def read_back(file: Path, posterior: StoredPosterior, **changes: object) -> StoredPosterior:
    names = ("prediction", "maps")
    return read_posterior(file, **({name: getattr(posterior, name) for name in names} | changes))


def assert_refused(
    template: str, file: Path, posterior: StoredPosterior, **changes: object
) -> None:
    with pytest.raises(DataError, check=says(template, file=file)):
        read_back(file, posterior, **changes)


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, zipfile.ZIP_DEFLATED), ({"compressed": False}, zipfile.ZIP_STORED)],
)
def test_a_posterior_survives_the_file(tmp_path, posterior, options, kind):
    file = tmp_path / "posterior" / "phase08.npz"
    write_posterior(file, posterior, **options)
    with zipfile.ZipFile(file) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {kind}
    found = read_back(file, posterior)
    assert found.box == posterior.box
    for name in ("probabilities", "members"):
        np.testing.assert_array_equal(getattr(found, name), getattr(posterior, name))
        assert getattr(found, name).dtype == np.uint8
    for z in range(found.shape[0]):
        np.testing.assert_array_equal(found.slice_at(z).members, posterior.slice_at(z).members)


def test_an_empty_posterior_survives_the_file(tmp_path):
    shape = (2, 3, 4)
    nothing = np.zeros(shape, np.float32)
    probabilities = np.stack([nothing + 1, nothing])
    empty = StoredPosterior.from_members(
        probabilities,
        np.zeros((2, *shape), np.uint8),
        prediction=np.zeros(shape, np.uint8),
        maps={"entropy": nothing, "mutual-information": nothing},
    )
    write_posterior(tmp_path / "volume.npz", empty)
    found = read_back(tmp_path / "volume.npz", empty)
    assert (found.count, found.classes, found.probabilities.size) == (2, 2, 0)
    assert not found.member(1).any()


def test_a_damaged_posterior_is_refused(tmp_path, posterior):
    file = tmp_path / "volume.npz"
    write_posterior(file, posterior)
    whole = file.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        file.write_bytes(whole[:length])
        assert_refused(DAMAGED_POSTERIOR, file, posterior)
    middle = whole.index(b"members.npy") + 60
    file.write_bytes(whole[:middle] + bytes(8) + whole[middle + 8 :])
    assert_refused(DAMAGED_POSTERIOR, file, posterior)
    np.savez(file, probabilities=np.ones(3))
    assert_refused(DAMAGED_POSTERIOR, file, posterior)


def test_a_posterior_of_another_volume_is_refused(tmp_path, posterior):
    file = tmp_path / "volume.npz"
    write_posterior(file, posterior)
    other = np.zeros((4, 20, 25), np.uint8)
    assert_refused(FOREIGN_POSTERIOR, file, posterior, prediction=other)
    arrays = dict(np.load(tmp_path / "volume.npz"))
    one_voxel_beyond = np.diag(arrays["shape"] - arrays["box"][:, 1] + 1)
    for change in (
        {"members": arrays["members"][:, :1]},
        {"probabilities": arrays["probabilities"].astype(np.float32)},
        *({"box": arrays["box"] + beyond[:, np.newaxis]} for beyond in one_voxel_beyond),
        {"box": arrays["box"] - arrays["box"][:, :1] - 1},
        {"box": arrays["box"][:2]},
        {"shape": np.int32(4)},
    ):
        np.savez(file, **(arrays | change))
        assert_refused(FOREIGN_POSTERIOR, file, posterior)


def test_maps_are_rounded_by_half_a_step():
    values = np.random.default_rng(0).uniform(0, 2, 1000).astype(np.float32)
    kept = round_map(values)
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept, values, atol=0.5 / 4096)
    np.testing.assert_array_equal(round_map(kept), kept)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_labels_that_are_not_structures_are_counted(kind):
    labels = np.array([0, 1, 2, 3, 3], kind)
    assert foreign_values(labels, STRUCTURES) == {}
    labels[:2] = 7
    labels[2] = 255
    assert foreign_values(labels, STRUCTURES) == {7: 2, 255: 1}


@pytest.mark.parametrize(
    ("large", "most"),
    [
        ("members", 2048),
        ("probabilities", 256),
        *((name, axis) for name in ("members", "probabilities") for axis in "zyx"),
    ],
)
def test_posterior_arrays_are_measured_before_unpacking(tmp_path, posterior, large, most):
    """One class, member or voxel more than allowed is refused."""
    file = tmp_path / "volume.npz"
    write_posterior(file, posterior)
    arrays = dict(np.load(file))
    shape = [1, *posterior.shape]
    if isinstance(most, int):
        shape[0] = most + 1
    else:
        shape["_zyx".index(most)] += 1
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as stream:
                if name == large:  # a header without its array, as unpacking it would show
                    np.lib.format.write_array_header_1_0(stream, header)
                else:
                    np.save(stream, values)
    assert_refused(FOREIGN_POSTERIOR, file, posterior)
