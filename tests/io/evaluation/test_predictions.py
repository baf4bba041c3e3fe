"""Predictions of this program and of nnU-Net's predictor, whole and damaged."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.predictions import (
    MIRRORED_PROBABILITIES,
    UNFINISHED,
    predicted_cases,
    read_prediction,
)
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_labels, write_map

from ...helpers.checks.problems import says, says_only
from ...helpers.data.evaluations import (
    SHAPE,
    SPACING,
    STRUCTURES,
    answer,
    name_labels,
    plain_entropy,
)
from ...helpers.data.evaluations import write_answer as write


@pytest.fixture
def given() -> dict:
    return answer(1)


@pytest.fixture
def ours(tmp_path: Path, given: dict) -> Path:
    write(tmp_path / "predictions", "p1_frame01", given)
    return tmp_path / "predictions"


@pytest.fixture
def nnunets(tmp_path: Path, given: dict) -> Path:
    """Write a folder like ``nnUNetv2_predict --save_probabilities``."""
    folder = tmp_path / "stock"
    name_labels(folder)
    write_labels(folder / "p1.nii.gz", given["labels"], make_geometry(SHAPE, SPACING))
    np.savez_compressed(folder / "p1.npz", probabilities=given["probabilities"])
    (folder / "p1.pkl").write_bytes(pickle.dumps({"spacing": SPACING}))
    for name in ("plans.json", "predict_from_raw_data_args.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def test_all_saved_files_are_read(ours, given):
    assert predicted_cases(ours) == ["p1_frame01"]
    found = read_prediction(ours, "p1_frame01")
    np.testing.assert_array_equal(found.labels.voxels, given["labels"])
    np.testing.assert_array_equal(found.probabilities, given["probabilities"])
    np.testing.assert_array_equal(found.maps["entropy"], given["entropy"])
    np.testing.assert_array_equal(found.maps["mutual-information"], given["mutual_information"])
    assert found.pairwise_dice == pytest.approx(given["pairwise_dice"])
    assert found.structures == STRUCTURES
    assert found.labels.spacing == pytest.approx(SPACING)
    assert found.phase is None


def test_stock_nnunet_has_no_mutual_information(nnunets, given):
    assert predicted_cases(nnunets) == ["p1"]
    found = read_prediction(nnunets, "p1")
    np.testing.assert_allclose(
        found.maps["entropy"], plain_entropy(given["probabilities"]), atol=1e-5
    )
    assert "mutual-information" not in found.maps
    assert found.pairwise_dice == {}
    assert found.structures == STRUCTURES


def test_pickle_is_never_opened(nnunets):
    (nnunets / "p1.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert read_prediction(nnunets, "p1").probabilities is not None


def test_label_names_come_first_from_report(ours):
    other = {"LV": 1, "MYO": 2, "RV": 3}
    name_labels(ours.parent, other)
    assert read_prediction(ours, "p1_frame01").structures == STRUCTURES
    report = ours / "p1_frame01.json"
    content = json.loads(report.read_text())
    del content["labels"]
    report.write_text(json.dumps(content))
    assert read_prediction(ours, "p1_frame01").structures == other
    name_labels(ours, {"heart": 1})
    assert read_prediction(ours, "p1_frame01").structures == {"heart": 1}


@pytest.mark.parametrize("provisional", [True, False])
def test_stopped_segmentation_is_refused(ours, provisional):
    (ours / "p1_frame01.json").write_text(json.dumps({"format": 2, "provisional": provisional}))
    name_labels(ours)
    with pytest.raises(DataError, check=says(UNFINISHED)):
        read_prediction(ours, "p1_frame01")


def test_given_spacing_is_that_of_the_report(ours):
    report = ours / "p1_frame01.json"
    given = {"spacing_mm": [7.0, 2.0, 3.0], "spacing_from": "given"}
    report.write_text(json.dumps(json.loads(report.read_text()) | given))
    found = read_prediction(ours, "p1_frame01")
    assert found.labels.spacing == (7.0, 2.0, 3.0)
    assert "mutual-information" in found.maps
    report.write_text(json.dumps({"format": 2} | given | {"spacing_from": "pixdim"}))
    assert read_prediction(ours, "p1_frame01").labels.spacing == pytest.approx(SPACING)


def test_cine_without_its_phases_is_refused(tmp_path):
    write_labels(
        tmp_path / "p1.nii.gz", np.zeros((2, *SHAPE), np.uint8), make_geometry((2, *SHAPE), SPACING)
    )
    with pytest.raises(DataError, check=says_only(file=tmp_path / "p1.nii.gz", phases=2)):
        read_prediction(tmp_path, "p1")


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_folder_without_labels_is_refused(tmp_path, name):
    with pytest.raises(DataError, check=says(folder=tmp_path / name)):
        predicted_cases(tmp_path / name)


def test_probabilities_on_another_grid_are_refused(ours, given):
    file = ours / "p1_frame01_probabilities.npz"
    for wrong in (given["probabilities"][:, 1:], given["probabilities"].astype(int)):
        np.savez_compressed(file, probabilities=wrong)
        with pytest.raises(DataError, check=says(found=wrong.shape, dtype=wrong.dtype)):
            read_prediction(ours, "p1_frame01")


def test_probabilities_of_another_prediction_are_refused(ours, given):
    """nnU-Net may write them reoriented, or the labels were replaced later."""
    file = ours / "p1_frame01_probabilities.npz"
    np.savez_compressed(file, probabilities=given["probabilities"][..., ::-1])
    with pytest.raises(DataError, check=says_only(file=file, labels="p1_frame01.nii.gz")):
        read_prediction(ours, "p1_frame01")


def test_labels_may_lack_large_pieces_of_the_probabilities(ours, given):
    """Pieces apart from the heart are removed from the labels, not from the probabilities."""
    drawn = given["labels"].copy()
    drawn[:, :, drawn.any(axis=(0, 1)).nonzero()[0][1:]] = 0
    assert 0 < np.count_nonzero(drawn) < 0.4 * np.count_nonzero(given["labels"])
    write_labels(ours / "p1_frame01.nii.gz", drawn, make_geometry(SHAPE, SPACING))
    found = read_prediction(ours, "p1_frame01")
    assert np.array_equal(found.labels.voxels, drawn)
    np.testing.assert_array_equal(found.probabilities, given["probabilities"])


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_mirrored_probabilities_are_refused(ours, given, axis):
    """Their overlap with the labels may be large, as that of a mirrored heart is."""
    file = ours / "p1_frame01_probabilities.npz"
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[1:-1, 2:-2, 2:-2] = 1
    drawn[0, 2:4, 2:4] = 2
    grid = make_geometry(SHAPE, SPACING)
    write_labels(ours / "p1_frame01.nii.gz", drawn, grid)
    for name in ("entropy", "mutual_information"):
        write_map(ours / f"p1_frame01_{name}.nii.gz", np.ones(SHAPE, np.float32), grid)
    classes = len(given["probabilities"])
    probabilities = np.eye(classes, dtype=np.float32)[drawn].transpose(3, 0, 1, 2)
    np.savez_compressed(file, probabilities=probabilities)
    assert read_prediction(ours, "p1_frame01").probabilities is not None
    np.savez_compressed(file, probabilities=np.flip(probabilities, axis))
    with pytest.raises(DataError, check=says(MIRRORED_PROBABILITIES)):
        read_prediction(ours, "p1_frame01")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: np.log(p),
        lambda p: 2 * p,
        lambda p: p - 1,
        lambda p: np.where(p > 0.99, np.nan, p),
    ],
    ids=["logits", "twice", "below 0", "NaN"],
)
def test_values_that_are_not_probabilities_are_refused(ours, given, wrong):
    values = wrong(given["probabilities"])
    np.savez(ours / "p1_frame01_probabilities.npz", probabilities=values)
    with pytest.raises(DataError) as caught:
        read_prediction(ours, "p1_frame01")
    assert caught.value.values["file"] == ours / "p1_frame01_probabilities.npz"
    assert {"low", "high", "lowest_sum", "highest_sum"} <= set(caught.value.values)


@pytest.mark.parametrize("content", [b"PK no zip", b"", None])
def test_damaged_probabilities_are_refused(ours, content):
    file = ours / "p1_frame01_probabilities.npz"
    if content is None:
        np.savez(file, other=np.zeros(3))
    else:
        file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_prediction(ours, "p1_frame01")
    assert caught.value.values["file"] == file
    assert set(caught.value.values) == {"file", "reason", "repair"}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 2, "labels": 3}', '{"format": 2, "phase": "ED"}', "{}"]
)
def test_damaged_report_is_refused(ours, text):
    (ours / "p1_frame01.json").write_text(text)
    with pytest.raises(DataError, check=says(DAMAGED_JSON)):
        read_prediction(ours, "p1_frame01")


def test_map_on_another_grid_is_refused(ours, given):
    small = given["entropy"][1:]
    write_map(ours / "p1_frame01_entropy.nii.gz", small, make_geometry(small.shape, SPACING))
    with pytest.raises(DataError) as caught:
        read_prediction(ours, "p1_frame01")
    assert caught.value.values["file"] == ours / "p1_frame01_entropy.nii.gz"
    assert caught.value.values["labels"] == "p1_frame01.nii.gz"


def test_probabilities_are_measured_before_unpacking(ours):
    file = ours / "p1_frame01_probabilities.npz"
    shape = (10**6, *SHAPE)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with zipfile.ZipFile(file, "w") as archive, archive.open("probabilities.npy", "w") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
    with pytest.raises(DataError, check=says(found=shape)):
        read_prediction(ours, "p1_frame01")
