"""What image layers of all readers give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import CardiacPhases
from napari_bayes_nnunet.widgets.layers import image_input
from napari_bayes_nnunet.widgets.layers.image_input import (
    ImageInput,
    check_same_grid,
    is_segmentable,
    parse_phase_numbers,
    phases_beside,
)
from napari_bayes_nnunet.widgets.layers.metadata import (
    layer_case,
    layer_geometry,
    layer_source,
    layer_spacing,
)
from napari_bayes_nnunet.widgets.layers.reader import get_reader

from ...helpers import dicoms
from ...helpers.dicoms import write_cine
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
def test_which_layers_can_be_segmented(layer: Any, expected: bool) -> None:
    assert is_segmentable(layer) is expected


def test_a_dicom_cine_gives_what_a_file_gives(tmp_path: Path) -> None:
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
    assert phases_beside(layer) is None
    image = ImageInput(channels=(layer.data,), spacing=layer_spacing(layer), phases=(2, 4))
    image.write(tmp_path / "sent.npy")
    assert np.array_equal(np.load(tmp_path / "sent.npy")[0], voxels[[1, 3]])


def test_spacing_is_that_of_the_file(tmp_path: Path) -> None:
    assert layer_spacing(image_layer(tmp_path)) == pytest.approx((8, 1.5, 1.25))
    assert layer_spacing(image_layer(tmp_path, CINE)) == pytest.approx((8, 1.5, 1.25))


def test_spacing_of_other_readers_is_converted_to_mm() -> None:
    layer = grey(3, 4, 5, scale=(-0.8, 150, 125), units=("cm", "um", "um"))
    assert layer_spacing(layer) == pytest.approx((8, 0.15, 0.125))


def test_pixels_are_no_spacing() -> None:
    assert layer_spacing(grey(3, 4, 5, scale=(8, 1, 1))) is None
    assert layer_spacing(grey(3, 4, 5, units=("ms", "mm", "mm"))) is None


def test_geometry_is_forgotten_when_the_voxels_were_cropped(tmp_path: Path) -> None:
    layer = image_layer(tmp_path)
    geometry = layer_geometry(layer)
    assert geometry is not None
    assert geometry.same_grid(VOLUME)
    layer.data = layer.data[1:]
    assert layer_geometry(layer) is None


def test_case_and_source(tmp_path: Path) -> None:
    layer = image_layer(tmp_path)
    assert layer_case(layer) == "heart"
    assert layer_source(layer) == tmp_path / "heart.nii.gz"
    assert layer_case(grey(3, 4, 5, name="a/b:c.nii.gz")) == "a_b_c"
    assert layer_case(grey(3, 4, 5, name="..")) == "image"
    assert layer_source(grey(3, 4, 5)) is None


def test_phases_of_an_info_cfg_beside_the_image(tmp_path: Path) -> None:
    layer = image_layer(tmp_path, CINE)
    assert phases_beside(layer) is None
    (tmp_path / "Info.cfg").write_text("ED: 1\nES: 4\n")
    assert phases_beside(layer) == CardiacPhases(1, 4)
    (tmp_path / "Info.cfg").write_text("ED: 1\nES: 9\n")
    with pytest.raises(DataError, match="names phases 1 and 9, but the image has 5"):
        phases_beside(layer)
    (tmp_path / "Info.cfg").write_text("ED: one\n")
    with pytest.raises(DataError) as error:
        phases_beside(layer)
    assert error.value.values["file"] == tmp_path / "Info.cfg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1,3", (1, 3)), ("3 1", (1, 3)), ("2-4", (2, 3, 4)), ("1, 3 – 4;", (1, 3, 4)), ("5", (5,))],
)
def test_phase_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert parse_phase_numbers(text, 5) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Name the phases to segment, such as 1,8; the cine has 5."),
        ("ED", "Phases are numbers such as 1,8 or 3-6, not 'ED'."),
        ("0", "The cine has phases 1 to 5; 0 is not among them."),
        ("2-6", "The cine has phases 1 to 5; 2-6 is not among them."),
        ("4-2", "The cine has phases 1 to 5; 4-2 is not among them."),
    ],
)
def test_phase_numbers_that_are_none(text: str, sentence: str) -> None:
    with pytest.raises(AppError) as error:
        parse_phase_numbers(text, 5)
    assert str(error.value) == sentence


def written(image: ImageInput, folder: Path) -> np.ndarray:
    image.write(folder / "image.npy")
    return np.load(folder / "image.npy")


def test_a_volume_is_written_with_its_channels_first(tmp_path: Path) -> None:
    one, two = np.arange(24).reshape(2, 3, 4), np.full((2, 3, 4), 0.5)
    array = written(ImageInput(channels=(one, two), spacing=ONE), tmp_path)
    assert array.shape == (2, 2, 3, 4)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[0], one)


@pytest.mark.parametrize(
    ("given", "stored"),
    [("bool", "uint8"), (">i2", "int16"), ("uint16", "uint16"), ("float64", "float32")],
)
def test_voxels_keep_their_type_where_the_child_can_use_it(
    tmp_path: Path, given: str, stored: str
) -> None:
    image = ImageInput(channels=(np.ones((2, 3, 4), given),), spacing=ONE)
    assert written(image, tmp_path).dtype == np.dtype(stored)


def test_of_a_lazy_cine_only_the_phases_asked_for_are_computed(tmp_path: Path) -> None:
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


def test_finding_phases_needs_all(tmp_path: Path) -> None:
    image = ImageInput(channels=(np.ones((3, 2, 3, 4)),), spacing=ONE)
    assert image.sent_phases == (1, 2, 3)
    assert written(image, tmp_path).shape == (1, 3, 2, 3, 4)


def test_writing_stops_when_asked(tmp_path: Path) -> None:
    def never(block_info: Any = None) -> np.ndarray:
        raise AssertionError

    cine = da.map_blocks(never, chunks=((1,) * 6, (2,), (3,), (4,)), dtype=np.int16, meta=0)
    image = ImageInput(channels=(cine,), spacing=ONE)
    image.write(tmp_path / "image.npy", should_stop=lambda: True)


def test_voxels_that_cannot_be_loaded_are_a_sentence(tmp_path: Path) -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise KeyError("lost slice")

    volume = da.ones((2, 3, 4)).map_blocks(broken, dtype=float, meta=np.ones(()))
    image = ImageInput(channels=(volume,), spacing=ONE)
    with pytest.raises(DataError, match="could not be loaded: 'lost slice'"):
        image.write(tmp_path / "image.npy")


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    image = ImageInput(channels=(np.ones((2, 3, 4), complex),), spacing=ONE)
    with pytest.raises(DataError, match="one real number per voxel, not complex128"):
        image.write(tmp_path / "image.npy")


def test_an_image_larger_than_the_scratch_folder_may_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = da.zeros((100, 1000, 2000, 2000), dtype=np.float32)
    image = ImageInput(channels=(huge,), spacing=ONE)
    monkeypatch.setattr(image_input.shutil, "disk_usage", lambda path: Usage(2**50))
    with pytest.raises(AppError, match=r"takes 1490.1 GiB, but only 8.0 GiB is the limit"):
        image.write(tmp_path / "image.npy")
    monkeypatch.setattr(image_input.shutil, "disk_usage", lambda path: Usage(2**30))
    with pytest.raises(AppError, match=r"only 1.0 GiB is free for temporary files"):
        image.write(tmp_path / "image.npy")
    assert list(tmp_path.iterdir()) == []


class Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_channels_must_have_one_grid(tmp_path: Path) -> None:
    first = image_layer(tmp_path)
    check_same_grid([first, image_layer(tmp_path, name="other")])
    with pytest.raises(AppError, match=r"'heart' is \(4, 16, 20\), 'small' is \(3, 4, 5\)"):
        check_same_grid([first, grey(3, 4, 5, name="small")])
    moved = make_geometry(VOLUME.shape, VOLUME.spacing, affine=VOLUME.affine + np.eye(4) * 9)
    with pytest.raises(AppError, match="'heart' and 'moved' lie at different places"):
        check_same_grid([first, image_layer(tmp_path, moved, "moved")])
