"""Tests of layers as NIfTI files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume, write_image
from napari_bayes_nnunet.widgets.layers.metadata import layer_grid
from napari_bayes_nnunet.widgets.layers.reader import read_layers
from napari_bayes_nnunet.widgets.layers.writer import write_image_layer, write_labels_layer

nib: Any = nibabel
OBLIQUE = np.array([[-0.9, 0.4, -5.0, 14], [-0.9, -0.35, 5.3, 185], [0, -1.2, -3.3, 110], [0, 0, 0, 1]])  # fmt: skip # noqa: E501
VOLUME = make_geometry((3, 4, 5), (8, 1.5, 1.25), affine=OBLIQUE)
CINE = make_geometry((2, 3, 4, 5), (8, 1.5, 1.25), frame_time=46, affine=OBLIQUE)


def metadata(geometry: Geometry) -> dict[str, Any]:
    return {"bayes": {"role": "labels", "geometry": geometry}}


def labels_layer(shape: tuple[int, ...], geometry: Geometry | None) -> Labels:
    data = (np.arange(np.prod(shape)) % 4).reshape(shape).astype(np.uint8)
    return Labels(data, name="mine", metadata={} if geometry is None else metadata(geometry))


def write(layer: Layer, path: Path) -> list[str]:
    data, attributes, kind = layer.as_layer_data_tuple()
    writer = write_labels_layer if kind == "labels" else write_image_layer
    return writer(str(path), data, attributes)


@pytest.mark.parametrize("name", ["l.nii", "l.nii.gz"])
@pytest.mark.parametrize("geometry", [VOLUME, CINE], ids=["3D", "4D"])
def test_labels_are_written_on_their_grid(tmp_path, name, geometry) -> None:
    layer = labels_layer(geometry.shape, geometry)
    assert write(layer, tmp_path / name) == [str(tmp_path / name)]
    written = read_labels(tmp_path / name)
    assert np.array_equal(written.voxels, layer.data)
    assert written.geometry.same_grid(geometry)
    assert written.geometry.is_label_image


def test_an_opened_image_is_saved_as_it_was(tmp_path) -> None:
    voxels = np.arange(1, 121, dtype=np.int16).reshape(CINE.shape)
    write_image(tmp_path / "a.nii.gz", voxels, CINE)
    (layer,) = read_layers(str(tmp_path / "a.nii.gz"))
    write(Layer.create(*layer), tmp_path / "b.nii.gz")
    before, after = nib.load(tmp_path / "a.nii.gz"), nib.load(tmp_path / "b.nii.gz")
    assert after.header == before.header
    assert np.array_equal(after.dataobj, before.dataobj)


def test_a_map_is_saved_in_single_precision(tmp_path) -> None:
    entropy = np.random.default_rng(0).random(VOLUME.shape)
    write(Image(entropy, metadata=metadata(VOLUME)), tmp_path / "a.nii")
    written = read_volume(tmp_path / "a.nii")
    assert written.voxels.dtype == np.float32
    assert np.allclose(written.voxels, entropy)


def test_a_moved_layer_keeps_its_true_geometry(tmp_path) -> None:
    layer = labels_layer(VOLUME.shape, VOLUME)
    layer.scale, layer.translate = (1, 1, 1), (5, 5, 5)
    write(layer, tmp_path / "l.nii")
    assert read_labels(tmp_path / "l.nii").geometry.same_grid(VOLUME)


def test_labels_of_one_phase_take_geometry_of_phase(tmp_path) -> None:
    write(labels_layer((3, 4, 5), CINE), tmp_path / "l.nii")
    written = read_labels(tmp_path / "l.nii")
    assert written.shape == (3, 4, 5)
    assert written.geometry.same_grid(CINE.frame())


def test_the_full_resolution_of_a_multiscale_image(tmp_path) -> None:
    voxels = np.arange(1, 61, dtype=np.int16).reshape(VOLUME.shape)
    layer = Image([voxels, voxels[:, ::2, ::2]], multiscale=True, metadata=metadata(VOLUME))
    write(layer, tmp_path / "a.nii")
    assert np.array_equal(read_volume(tmp_path / "a.nii").voxels, voxels)


def test_dask_layers(tmp_path) -> None:
    dask = pytest.importorskip("dask.array")
    voxels = np.arange(1, 61, dtype=np.int16).reshape(VOLUME.shape)
    write(Image(dask.from_array(voxels), metadata=metadata(VOLUME)), tmp_path / "a.nii")
    assert np.array_equal(read_volume(tmp_path / "a.nii").voxels, voxels)


def test_a_name_without_ending_gets_one(tmp_path) -> None:
    written = write(labels_layer(VOLUME.shape, VOLUME), tmp_path / "patient 1.2")
    assert written == [str(tmp_path / "patient 1.2.nii.gz")]
    assert (tmp_path / "patient 1.2.nii.gz").is_file()


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_layer_without_geometry_is_refused(tmp_path, kind) -> None:
    layer = labels_layer(VOLUME.shape, None)
    foreign = layer if kind == "labels" else Image(layer.data, name="mine")
    with pytest.raises(DataError) as error:
        write(foreign, tmp_path / "l.nii.gz")
    assert error.value.values == {"layer": "mine"}
    assert list(tmp_path.iterdir()) == []


def test_a_new_labels_layer_of_napari_is_refused(tmp_path) -> None:
    copied = Labels(np.zeros(VOLUME.shape, np.uint8), name="new", **layer_grid(VOLUME))
    with pytest.raises(DataError) as error:
        write(copied, tmp_path / "l.nii.gz")
    assert error.value.values == {"layer": "new"}


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [((3, 4, 6), VOLUME), ((2, 3, 4, 5), VOLUME), ((3, 3, 4, 5), CINE), ((2, 4, 5), CINE)],
)
def test_another_shape_is_refused(tmp_path, shape, geometry) -> None:
    with pytest.raises(DataError) as error:
        write(labels_layer(shape, geometry), tmp_path / "l.nii.gz")
    assert error.value.values == {"layer": "mine", "shape": shape, "expected": geometry.shape}
    assert list(tmp_path.iterdir()) == []
