"""Tests of the input of a segmentation from image layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import INFO_CFG
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import CardiacPhases
from napari_bayes_nnunet.widgets.layers import image_input
from napari_bayes_nnunet.widgets.layers.image_input import (
    NO_ROOM_LEFT,
    WRONG_PHASES,
    ImageInput,
    check_same_grid,
    is_segmentable,
    parse_phase_numbers,
    read_layer_phases,
)
from napari_bayes_nnunet.widgets.layers.metadata import (
    layer_case,
    layer_geometry,
    layer_source,
    layer_spacing,
)
from napari_bayes_nnunet.widgets.layers.reader import get_reader

from ...helpers.checks.problems import says, says_only
from ...helpers.data import dicoms
from ...helpers.data.dicoms import write_cine
from ..conftest import CINE, VOLUME, image_layer

ONE = (1.0, 1.0, 1.0)


def grey(*shape: int, **attributes: Any) -> Image:
    return Image(np.ones(shape, np.float32), **attributes)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (grey(3, 4, 5), True),
        (grey(2, 3, 4, 5), True),
        (Image(da.ones((3, 4, 5))), True),
        (Image([np.ones((4, 8, 8)), np.ones((2, 4, 4))], multiscale=True), True),
        (grey(4, 5), False),
        (grey(1, 2, 3, 4, 5), False),
        (grey(3, 4, 5, 3, rgb=True), False),
        (Labels(np.ones((3, 4, 5), np.uint8)), False),
        (grey(3, 4, 5, metadata={"bayes": {"role": "entropy"}}), False),
        (grey(3, 4, 5, metadata={"bayes": "of another plugin"}), True),
    ],
)
def test_which_layers_can_be_segmented(layer, expected) -> None:
    assert is_segmentable(layer) is expected


def test_a_dicom_cine_can_be_segmented(tmp_path) -> None:
    voxels = write_cine(tmp_path / "Doe")
    reader = get_reader(str(tmp_path / "Doe"))
    assert reader is not None
    (data,) = reader(str(tmp_path / "Doe"))
    layer = Layer.create(*data)
    assert is_segmentable(layer)
    assert layer_spacing(layer) == pytest.approx((dicoms.DISTANCE, *dicoms.PIXELS))
    assert layer_geometry(layer) is not None
    assert layer_case(layer) == layer.name
    assert layer_source(layer) == tmp_path / layer.name
    assert read_layer_phases(layer) == (None, "")
    image = ImageInput(channels=(layer.data,), spacing=layer_spacing(layer), phases=(2, 4))
    image.write(tmp_path / "sent.npy")
    assert np.array_equal(np.load(tmp_path / "sent.npy")[0], voxels[[1, 3]])


def test_spacing_is_that_of_the_file(tmp_path) -> None:
    assert layer_spacing(image_layer(tmp_path)) == pytest.approx((8, 1.5, 1.25))
    assert layer_spacing(image_layer(tmp_path, CINE)) == pytest.approx((8, 1.5, 1.25))


def test_spacing_of_other_readers_is_converted_to_mm() -> None:
    layer = grey(3, 4, 5, scale=(-0.8, 150, 125), units=("cm", "um", "um"))
    assert layer_spacing(layer) == pytest.approx((8, 0.15, 0.125))


def test_units_without_length_give_no_spacing() -> None:
    assert layer_spacing(grey(3, 4, 5, scale=(8, 1, 1))) is None
    assert layer_spacing(grey(3, 4, 5, units=("ms", "mm", "mm"))) is None


def test_a_cropped_layer_has_no_geometry(tmp_path) -> None:
    layer = image_layer(tmp_path)
    geometry = layer_geometry(layer)
    assert geometry is not None
    assert geometry.same_grid(VOLUME)
    layer.data = layer.data[1:]
    assert layer_geometry(layer) is None


def test_case_and_source(tmp_path) -> None:
    layer = image_layer(tmp_path)
    assert layer_case(layer) == "heart"
    assert layer_source(layer) == tmp_path / "heart.nii.gz"
    assert layer_case(grey(3, 4, 5, name="a/b:c.nii.gz")) == "a_b_c"
    assert layer_case(grey(3, 4, 5, name="..")) == "image"
    assert layer_source(grey(3, 4, 5)) is None


def test_phases_come_from_the_info_cfg(tmp_path) -> None:
    layer = image_layer(tmp_path, CINE)
    assert read_layer_phases(layer) == (None, "")
    (tmp_path / "Info.cfg").write_text("ED: 1\nES: 4\n")
    assert read_layer_phases(layer) == (CardiacPhases(1, 4), INFO_CFG)
    file = tmp_path / "Info.cfg"
    for ed, es in ((1, 9), (2, 2)):
        file.write_text(f"ED: {ed}\nES: {es}\n")
        with pytest.raises(DataError, check=says_only(file=file, ed=ed, es=es)):
            read_layer_phases(layer)
    (tmp_path / "Info.cfg").write_text("ED: one\n")
    with pytest.raises(DataError, check=says(file=tmp_path / "Info.cfg")):
        read_layer_phases(layer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1,3", (1, 3)), ("3 1", (1, 3)), ("2-4", (2, 3, 4)), ("1, 3 – 4;", (1, 3, 4)), ("5", (5,))],
)
def test_phase_numbers(text, expected) -> None:
    assert parse_phase_numbers(text, 5) == expected


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", ""),
        ("ED", "ED"),
        ("0", "0"),
        ("2-6", "2-6"),
        ("1,4-2", "4-2"),
        ("2, 2", "2"),
        ("1-3,2", "2"),
    ],
)
def test_wrong_phase_numbers_are_refused(text, wrong) -> None:
    with pytest.raises(AppError, check=says(WRONG_PHASES)) as error:
        parse_phase_numbers(text, 5)
    assert error.value.values == {"text": wrong, "count": 5}


def written(image: ImageInput, folder: Path) -> np.ndarray:
    image.write(folder / "image.npy")
    return np.load(folder / "image.npy")


def test_a_volume_is_written_with_its_channels_first(tmp_path) -> None:
    first, second = np.arange(24).reshape(2, 3, 4), np.full((2, 3, 4), 0.5)
    array = written(ImageInput(channels=(first, second), spacing=ONE), tmp_path)
    assert array.shape == (2, 2, 3, 4)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[0], first)


@pytest.mark.parametrize(
    ("given", "stored"),
    [("bool", "uint8"), (">i2", "int16"), ("uint16", "uint16"), ("float64", "float32")],
)
def test_voxels_keep_usable_types(tmp_path, given, stored) -> None:
    image = ImageInput(channels=(np.ones((2, 3, 4), given),), spacing=ONE)
    assert written(image, tmp_path).dtype == np.dtype(stored)


def test_a_lazy_cine_computes_only_sent_phases(tmp_path) -> None:
    computed = []

    def load(block_info: Any = None) -> np.ndarray:
        computed.append(block_info[None]["chunk-location"][0])
        return np.full((1, 2, 3, 4), computed[-1], np.int16)

    cine = da.map_blocks(load, chunks=((1,) * 6, (2,), (3,), (4,)), dtype=np.int16)
    computed.clear()
    array = written(ImageInput(channels=(cine,), spacing=ONE, phases=(5, 2)), tmp_path)
    assert sorted(computed) == [1, 4]
    assert array.shape == (1, 2, 2, 3, 4)
    assert [array[0, 0, 0, 0, 0], array[0, 1, 0, 0, 0]] == [4, 1]


def test_a_cine_without_chosen_phases_sends_all(tmp_path) -> None:
    image = ImageInput(channels=(np.ones((3, 2, 3, 4)),), spacing=ONE)
    assert image.sent_phases == (1, 2, 3)
    assert written(image, tmp_path).shape == (1, 3, 2, 3, 4)


def test_a_first_look_needs_all_phases(tmp_path) -> None:
    cine = np.arange(72).reshape(3, 2, 3, 4)
    image = ImageInput(channels=(cine,), spacing=ONE, phases=(3, 1), sends_all=True)
    assert image.sent_phases == (1, 2, 3)
    np.testing.assert_array_equal(written(image, tmp_path)[0], cine)


def test_writing_stops_when_asked(tmp_path) -> None:
    def never(block_info: Any = None) -> np.ndarray:
        raise AssertionError

    cine = da.map_blocks(never, chunks=((1,) * 6, (2,), (3,), (4,)), dtype=np.int16, meta=0)
    image = ImageInput(channels=(cine,), spacing=ONE)
    image.write(tmp_path / "image.npy", should_stop=lambda: True)


def test_voxels_that_cannot_be_loaded_are_reported(tmp_path) -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise KeyError("lost slice")

    volume = da.ones((2, 3, 4)).map_blocks(broken, dtype=float, meta=np.ones(()))
    image = ImageInput(channels=(volume,), spacing=ONE)
    with pytest.raises(DataError) as error:
        image.write(tmp_path / "image.npy")
    assert error.value.values["error"] == str(KeyError("lost slice"))


def test_complex_voxels_are_refused(tmp_path) -> None:
    image = ImageInput(channels=(np.ones((2, 3, 4), complex),), spacing=ONE)
    with pytest.raises(DataError, check=says_only(type="complex128")):
        image.write(tmp_path / "image.npy")


def test_an_image_larger_than_its_limit_is_refused(tmp_path, monkeypatch) -> None:
    huge = da.zeros((100, 1000, 2000, 2000), dtype=np.float32)
    image = ImageInput(channels=(huge,), spacing=ONE)
    monkeypatch.setattr(image_input.shutil, "disk_usage", lambda path: Usage(2**50))
    with pytest.raises(AppError, check=says_only(size=pytest.approx(1490.1, abs=0.1), free=8)):
        image.write(tmp_path / "image.npy")
    monkeypatch.setattr(image_input.shutil, "disk_usage", lambda path: Usage(2**30))
    with pytest.raises(AppError, check=says_only(size=pytest.approx(1490.1, abs=0.1), free=1)):
        image.write(tmp_path / "image.npy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_disk_that_becomes_full_is_reported(tmp_path) -> None:
    (tmp_path / "image.npy").symlink_to("/dev/full")
    image = ImageInput(channels=(np.ones((2, 30, 40)),), spacing=ONE)
    with pytest.raises(AppError, check=says(NO_ROOM_LEFT)):
        image.write(tmp_path / "image.npy")


class Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_channels_must_have_one_grid(tmp_path) -> None:
    first = image_layer(tmp_path)
    check_same_grid([first, image_layer(tmp_path, name="other")])
    with pytest.raises(AppError, check=says_only(first="heart", second="small")):
        check_same_grid([first, grey(3, 4, 5, name="small")])
    moved = make_geometry(VOLUME.shape, VOLUME.spacing, affine=VOLUME.affine + np.eye(4) * 9)
    with pytest.raises(AppError, check=says_only(first="heart", second="moved")):
        check_same_grid([first, image_layer(tmp_path, moved, "moved")])
