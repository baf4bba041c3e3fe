"""Tests of the reader."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.examination import SeriesView, classify_series
from napari_bayes_nnunet.io.dicom.headers import tolerant_reading
from napari_bayes_nnunet.io.dicom.reader import choose_stack, read_dicom, read_stacks
from napari_bayes_nnunet.io.dicom.seg import LabelOrigin, write_seg
from napari_bayes_nnunet.io.dicom.series import Stack
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry, patient_letters
from napari_bayes_nnunet.io.images.nifti import (
    NO_NIFTI,
    read_volume,
    write_image,
    write_labels,
    write_map,
)
from napari_bayes_nnunet.io.study.info import CHANGED_IMAGE
from napari_bayes_nnunet.io.study.review_state import ReviewState, write_review
from napari_bayes_nnunet.io.study.study import read_study, write_study
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.layers import series_dialog as stack_chooser
from napari_bayes_nnunet.widgets.layers.metadata import layer_grid, metadata_geometry
from napari_bayes_nnunet.widgets.layers.reader import NO_LAYER, OPENS_IN_REVIEW, get_reader
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers
from napari_bayes_nnunet.widgets.layers.study_layers import IMAGE_NOT_FOUND

from ...helpers.checks.problems import says
from ...helpers.data import dicoms
from ...helpers.data.dicoms import made_voxels, write_cine, write_enhanced
from ...helpers.data.studies import VOLUME as STUDY_GRID
from ...helpers.data.studies import made_info, made_posterior, make_study

OBLIQUE = np.array([[-0.9, 0.4, -5.0, 14], [-0.9, -0.35, 5.3, 185], [0, -1.2, -3.3, 110], [0, 0, 0, 1]])  # fmt: skip # noqa: E501
VOLUME = make_geometry((3, 4, 5), (8, 1.5, 1.25), affine=OBLIQUE)
CINE = make_geometry((2, 3, 4, 5), (8, 1.5, 1.25), frame_time=46, affine=OBLIQUE)


def voxels(geometry: Geometry) -> Any:
    return np.arange(1, 1 + np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)


def image_file(path: Path, geometry: Geometry = VOLUME) -> Path:
    write_image(path, voxels(geometry), geometry)
    return path


def layers_of(*paths: Path) -> list[Layer]:
    given = str(paths[0]) if len(paths) == 1 else [str(path) for path in paths]
    reader = get_reader(given)
    assert reader is not None
    return [layer if isinstance(layer, Layer) else Layer.create(*layer) for layer in reader(given)]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_volume_is_image_layer_in_its_voxel_grid(tmp_path, name) -> None:
    (layer,) = layers_of(image_file(tmp_path / name))
    assert isinstance(layer, Image)
    assert np.array_equal(layer.data, voxels(VOLUME))
    assert layer.scale == pytest.approx([8, 1.5, 1.25])
    assert layer.axis_labels == ("slice", "y", "x")
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert np.array_equal(layer.affine.affine_matrix, np.eye(4))
    assert np.array_equal(layer.translate, np.zeros(3))


def test_a_cine_has_time_first_in_ms(tmp_path) -> None:
    (layer,) = layers_of(image_file(tmp_path / "a.nii.gz", CINE))
    assert layer.data.shape == (2, 3, 4, 5)
    assert layer.scale == pytest.approx([46, 8, 1.5, 1.25])
    assert layer.axis_labels == ("phase", "slice", "y", "x")
    assert [str(unit) for unit in layer.units] == ["millisecond"] + ["millimeter"] * 3


def test_cine_without_frame_time_has_steps_of_1() -> None:
    grid = layer_grid(make_geometry((2, 3, 4, 5), (8, 1.5, 1.25)))
    assert grid["scale"] == (1.0, 8, 1.5, 1.25)
    assert grid["units"] == ("ms", "mm", "mm", "mm")


def test_metadata_holds_role_case_source_and_true_geometry(tmp_path) -> None:
    path = image_file(tmp_path / "patient001_0000.nii.gz")
    (layer,) = layers_of(path)
    bayes = layer.metadata["bayes"]
    assert (bayes["role"], bayes["case"], bayes["source"]) == ("image", "patient001", str(path))
    assert layer.name == "patient001"
    geometry = metadata_geometry(layer.metadata)
    assert geometry == read_volume(path).geometry
    assert geometry is not None
    assert geometry.letters == patient_letters(OBLIQUE)
    assert np.allclose(geometry.affine[:, 3], OBLIQUE[:, 3])
    assert pickle.loads(pickle.dumps(layer.metadata)) == layer.metadata


def test_no_geometry_in_foreign_metadata() -> None:
    assert metadata_geometry({}) is None
    assert metadata_geometry({"bayes": None}) is None
    assert metadata_geometry({"bayes": {"geometry": "elsewhere"}}) is None


@pytest.mark.parametrize(
    "name", ["a_gt.nii.gz", "a_seg.nii", "a-labels.nii.gz", "a_mask.nii.gz", "labelsTr/a.nii.gz"]
)
def test_labels_by_name_or_folder(tmp_path, name) -> None:
    path = image_file(tmp_path / name)
    (layer,) = layers_of(path)
    assert isinstance(layer, Labels)
    assert layer.data.dtype == np.uint8
    assert layer.metadata["bayes"]["role"] == "labels"


@pytest.mark.parametrize(
    ("values", "kind"), [([0, 1, 3], Labels), ([0, 1, 300], Image), ([0, 0.5, 1], Image)]
)
def test_few_whole_numbers_are_labels(tmp_path, values, kind) -> None:
    array = np.resize(np.array(values), VOLUME.shape)
    write_image(tmp_path / "lv.nii.gz", array, VOLUME)
    (layer,) = layers_of(tmp_path / "lv.nii.gz")
    assert isinstance(layer, kind)


def test_labels_by_the_intent_of_the_file(tmp_path) -> None:
    write_labels(tmp_path / "a.nii.gz", np.full((3, 4, 5), 300), VOLUME)
    (layer,) = layers_of(tmp_path / "a.nii.gz")
    assert isinstance(layer, Labels)
    assert layer.data.dtype == np.uint16


@pytest.mark.parametrize("name", ["a.nii", "weight.nii", "labels_of_a.nii.gz", "labelled/a.nii"])
def test_other_whole_numbers_are_images(tmp_path, name) -> None:
    assert isinstance(layers_of(image_file(tmp_path / name))[0], Image)


def test_a_soft_mask_is_an_image(tmp_path) -> None:
    write_map(tmp_path / "a_mask.nii.gz", np.full((3, 4, 5), 0.5), VOLUME)
    assert isinstance(layers_of(tmp_path / "a_mask.nii.gz")[0], Image)


def test_a_map_of_zeros_can_be_opened(tmp_path) -> None:
    write_map(tmp_path / "a_mutual_information.nii.gz", np.zeros((3, 4, 5)), VOLUME)
    (layer,) = layers_of(tmp_path / "a_mutual_information.nii.gz")
    assert not layer.data.any()


def test_single_bright_voxels_do_not_set_the_contrast(tmp_path) -> None:
    geometry = make_geometry((10, 40, 40), (8, 1.5, 1.5))
    bright = np.random.default_rng(0).integers(0, 100, geometry.shape).astype(np.int16)
    bright[0, 0, 0] = 5000
    write_image(tmp_path / "a.nii", bright, geometry)
    (layer,) = layers_of(tmp_path / "a.nii")
    assert layer.contrast_limits[1] < 101


def test_several_paths_are_several_layers(tmp_path) -> None:
    names = ("b.nii", "a.nii")
    layers = layers_of(*(image_file(tmp_path / name) for name in names))
    assert [layer.name for layer in layers] == ["b", "a"]


@pytest.mark.parametrize("path", ["a.tif", "a.gz", "folder", "a.nii.txt", [], ["a.nii", "b.tif"]])
def test_other_files_are_left_to_other_readers(path) -> None:
    assert get_reader(path) is None


def test_a_bad_file_without_window_is_an_exception(tmp_path) -> None:
    (tmp_path / "a.nii").write_bytes(b"hello")
    with pytest.raises(DataError, check=says(NO_NIFTI)):
        layers_of(tmp_path / "a.nii")


def test_a_bad_file_in_a_window_is_reported(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("napari.current_viewer", ViewerModel)
    (tmp_path / "bad.nii").write_bytes(b"hello")
    paths = [str(tmp_path / "bad.nii"), str(image_file(tmp_path / "good.nii"))]
    reader = get_reader(paths)
    assert reader is not None
    before = len(notification_manager.records)
    assert [layer[1]["name"] for layer in reader(paths)] == ["good"]
    (shown,) = notification_manager.records[before:]
    assert shown.severity.value == "error"
    assert shown.message == NO_NIFTI.format(file=paths[0])
    assert reader(paths[0]) == [NO_LAYER]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Make a study with two phases of a cine, in which one voxel is corrected."""
    folder = make_study(tmp_path / "heart", phases=(2, 5))
    edited = read_study(folder).edited
    edited[1, 0, 0, 0] = 1
    write_labels(folder / "edited.nii.gz", edited, read_study(folder).info.geometry)
    return folder


def test_a_study_opens_as_four_layers(study) -> None:
    layers = layers_of(study)
    assert [type(layer) for layer in layers] == [Image, Image, Labels, Labels]
    assert [layer.name for layer in layers] == [
        "heart",
        "heart entropy, bit",
        "heart prediction",
        "heart edited",
    ]
    image, entropy, prediction, edited = layers
    for layer in layers:
        assert layer.scale == pytest.approx(image.scale)
        assert layer.axis_labels == ("phase", "slice", "y", "x")
        assert np.array_equal(layer.extent.world, image.extent.world)
    read = read_study(study)
    assert np.array_equal(image.data, read_volume(study.parent / "heart_image.nii.gz").voxels)
    assert np.array_equal(entropy.data, read.entropy)
    assert entropy.contrast_limits == [0, 2]
    assert np.array_equal(prediction.data, read.prediction)
    assert np.array_equal(edited.data, read.edited)
    assert edited.data[1, 0, 0, 0] == 1


def test_corrections_of_another_reader_are_not_shown(study, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(study.parent))
    write_review(study, ReviewState(reader="Anna"))
    Settings().keep(reader="Ben")
    image, _, prediction = layers_of(study)
    assert image.name == "heart"
    assert prediction.visible
    Settings().keep(reader="Anna")
    assert len(layers_of(study)) == 4


def test_the_layers_of_a_study_name_it(study) -> None:
    layers = layers_of(study)
    metadata = [layer.metadata["bayes"] for layer in layers]
    assert [bayes["role"] for bayes in metadata] == ["image", "entropy", "prediction", "edited"]
    assert {bayes["study"] for bayes in metadata} == {str(study)}
    assert {bayes["image"] for bayes in metadata[1:]} == {layers[0].unique_id}
    for layer in layers:
        assert metadata_geometry(layer.metadata).same_grid(read_study(study).info.geometry)
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(layer)
    assert set(result_layers(viewer, layers[0])) == {"entropy", "prediction"}


def test_labels_of_a_study_are_not_editable(study) -> None:
    _, _, prediction, edited = layers_of(study)
    assert not prediction.editable
    assert not edited.editable
    assert edited.visible
    assert edited.contour > 0
    assert not prediction.visible


def test_a_study_with_its_own_image_opens(tmp_path) -> None:
    voxels = np.arange(np.prod(STUDY_GRID.shape), dtype=np.int16).reshape(STUDY_GRID.shape)
    write_study(tmp_path / "s", made_info(None), {None: made_posterior()}, image=voxels)
    image, *_ = layers_of(tmp_path / "s")
    assert np.array_equal(image.data, voxels)


def test_a_study_without_its_image_is_refused(tmp_path) -> None:
    folder = make_study(tmp_path / "drawn")
    (tmp_path / "drawn_image.nii.gz").rename(tmp_path / "other.nii.gz")
    with pytest.raises(DataError) as error:
        layers_of(folder)
    assert error.value.statement.template == IMAGE_NOT_FOUND
    assert error.value.values == {"image": "drawn_image.nii.gz", "folder": folder}


def test_a_study_with_a_changed_image_is_refused(study) -> None:
    image_file(study.parent / "heart_image.nii.gz")
    with pytest.raises(DataError, check=says(CHANGED_IMAGE)):
        layers_of(study)


def test_a_damaged_study_in_a_window_is_reported(study, monkeypatch) -> None:
    monkeypatch.setattr("napari.current_viewer", ViewerModel)
    (study / "study.json").write_text("{")
    reader = get_reader(str(study))
    assert reader is not None
    before = len(notification_manager.records)
    assert reader(str(study)) == [NO_LAYER]
    (shown,) = notification_manager.records[before:]
    assert "study.json" in shown.message


def test_a_study_in_a_window_is_said_to_open_in_review(study, monkeypatch) -> None:
    monkeypatch.setattr("napari.current_viewer", ViewerModel)
    before = len(notification_manager.records)
    assert len(layers_of(study)) == 4
    (shown,) = notification_manager.records[before:]
    assert shown.severity.value == "info"
    assert shown.message == OPENS_IN_REVIEW.format(study=study.name)


def test_other_folders_are_left_to_other_readers(tmp_path) -> None:
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "posterior").mkdir()
    image_file(tmp_path / "a.nii.gz")
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path), str(tmp_path / "a.nii.gz")]) is None


def test_a_dicom_folder_is_its_cine(tmp_path) -> None:
    cine = write_cine(tmp_path / "Doe", series_per_slice=True)
    (layer,) = layers_of(tmp_path / "Doe")
    assert isinstance(layer, Image)
    assert np.array_equal(layer.data, cine)
    assert layer.scale == pytest.approx([dicoms.STEP, dicoms.DISTANCE, *dicoms.PIXELS])
    assert layer.axis_labels == ("phase", "slice", "y", "x")
    assert layer.name.startswith("dicom-")
    bayes = layer.metadata["bayes"]
    assert bayes["case"] == layer.name
    assert bayes["source"] == str(tmp_path / layer.name)
    geometry = metadata_geometry(layer.metadata)
    assert geometry is not None
    assert geometry.same_grid(read_dicom(tmp_path / "Doe").geometry)


def test_a_series_of_another_contrast_is_marked(tmp_path) -> None:
    write_cine(tmp_path / "Doe")
    write_cine(tmp_path / "late", made_voxels((1, 4, 12, 10)), InversionTime=280)
    marks = [layers_of(tmp_path / name)[0].metadata["bayes"]["doubt"] for name in ("Doe", "late")]
    assert [bool(mark) for mark in marks] == [False, True]


def test_invalid_uids_are_said_in_a_window(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("napari.current_viewer", ViewerModel)
    with tolerant_reading():
        write_cine(tmp_path / "Doe", FrameOfReferenceUID="1.2.03")
    before = len(notification_manager.records)
    (layer,) = layers_of(tmp_path / "Doe")
    (shown,) = notification_manager.records[before:]
    assert shown.severity.value == "warning"
    (note,) = read_dicom(tmp_path / "Doe").notes
    assert shown.message == f"Doe: {note}"
    assert [str(note)] == [str(kept) for kept in layer.metadata["bayes"]["notes"]]


def test_an_enhanced_file_is_its_cine(tmp_path) -> None:
    cine = write_enhanced(tmp_path / "a.dcm")
    (layer,) = layers_of(tmp_path / "a.dcm")
    assert np.array_equal(layer.data, cine)


@pytest.mark.parametrize("accepted", [True, False])
def test_the_user_chooses_one_of_several_cines(tmp_path, monkeypatch, accepted) -> None:
    first = write_cine(tmp_path / "a")
    write_cine(tmp_path / "b", first[::-1].copy(), series=30)
    with pytest.raises(DataError, check=says(count=2)):
        layers_of(tmp_path)
    offered = []

    def ask(stacks: list[Stack]) -> list[SeriesView]:
        offered.extend(stacks)
        return classify_series(stacks, stacks[1]) if accepted else []

    monkeypatch.setattr("napari.current_viewer", ViewerModel)
    monkeypatch.setattr(stack_chooser, "ask_for_views", ask)
    reader = get_reader(str(tmp_path))
    assert reader is not None
    layers = reader(str(tmp_path))
    assert [stack.series_numbers for stack in offered] == [(5,), (30,)]
    if accepted:
        assert np.array_equal(layers[0][0], first[::-1])
    else:
        assert layers == [NO_LAYER]


def test_labels_written_as_dicom_are_a_labels_layer(tmp_path) -> None:
    write_cine(tmp_path / "in")
    stack = choose_stack(read_stacks(tmp_path / "in"))
    drawn = np.ones((4, 12, 10), np.uint8)
    images = [images[0] for images in stack.slices]
    origin = LabelOrigin(algorithm="a", version="1")
    (tmp_path / "out").mkdir()
    write_seg(tmp_path / "out" / "heart.dcm", drawn, images, {"LV": 1}, origin=origin)
    for path in (tmp_path / "out", tmp_path / "out" / "heart.dcm"):
        (layer,) = layers_of(path)
        assert isinstance(layer, Labels)
        assert layer.name == "heart"
        assert np.array_equal(layer.data, drawn)
