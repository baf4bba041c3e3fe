"""References found by name and renumbered like the study, and those that do not match."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.references import (
    IGNORED_VOXELS,
    reference_labels,
    structure_numbers,
)
from napari_bayes_nnunet.io.images.nifti import read_volume

from ...helpers.checks.problems import says
from ...helpers.data.folders import PHASES, cine, cine_label, image, label

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture
def geometry(tmp_path):
    return read_volume(image(tmp_path / "image.nii.gz")).geometry


@pytest.fixture
def cine_geometry(tmp_path):
    return read_volume(cine(tmp_path / "cine.nii.gz")).geometry


def read(folder, geometry, case="case", phase=None, structures=STRUCTURES):
    reference = reference_labels(folder, case, phase, structures=structures, geometry=geometry)
    return None if reference is None else reference.labels


def name_labels(folder, **numbers):
    folder.mkdir(exist_ok=True)
    text = json.dumps({"labels": {"background": 0, **numbers}})
    (folder / "dataset.json").write_text(text, encoding="utf-8")


def test_phase_is_read_from_labels_of_cine(tmp_path, cine_geometry):
    cine_label(tmp_path / "labels" / "case.nii.gz", {2: (1, 3)})
    assert read(tmp_path / "labels", cine_geometry, phase=2).max() == 3
    for phase in {*range(1, PHASES + 1)} - {2}:
        assert read(tmp_path / "labels", cine_geometry, phase=phase) is None


def test_volume_without_phase_number_is_refused(tmp_path, cine_geometry):
    label(tmp_path / "labels" / "case.nii.gz", 3)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "labels", cine_geometry, phase=2)
    assert caught.value.values == {"file": tmp_path / "labels" / "case.nii.gz", "phase": 2}
    assert "_frame02" in str(caught.value)


@pytest.mark.parametrize("inside", [True, False])
def test_labels_are_renumbered_by_name(tmp_path, geometry, inside):
    label(tmp_path / "labels" / "case.nii.gz", 1, 2, 3)
    names = {"LV cavity": 1, "left ventricular myocardium": 2, "rv": 3}
    name_labels(tmp_path / "labels" if inside else tmp_path, **names)
    np.testing.assert_array_equal(read(tmp_path / "labels", geometry)[0, 0, 0], 3)
    found = read(tmp_path / "labels", geometry)
    assert {int(v): int((found == v).sum()) for v in (1, 2, 3)} == {1: 1, 2: 1, 3: 1}


def test_reference_that_lacks_a_structure_is_refused(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1)
    name_labels(tmp_path / "labels", LV=1, MYO=2)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "labels", geometry)
    assert caught.value.values.items() >= {"structure": "RV", "known": "LV, MYO"}.items()


def test_undefined_label_is_refused(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1, 7)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "labels", geometry)
    assert caught.value.values["value"] == 7
    assert caught.value.values["known"].startswith("1 (RV), 2 (MYO)")


def test_given_spacing_is_also_that_of_the_reference(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 3, 2, 1)
    given = replace(geometry, given_spacing=(7.0, 2.0, 3.0))
    assert read(tmp_path / "labels", given).max() == 3


def test_reference_on_another_grid_is_refused(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1, shape=(5, 5, 3))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "labels", geometry)
    assert caught.value.values["case"] == "case"
    assert caught.value.values["expected"].same_grid(geometry)


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": {"LV": [1, 2]}}', "{}"])
def test_damaged_dataset_json_is_refused(tmp_path, geometry, text):
    label(tmp_path / "labels" / "case.nii.gz", 1)
    (tmp_path / "labels" / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json"):
        read(tmp_path / "labels", geometry)


def known(folder, geometry, structures=STRUCTURES):
    return reference_labels(
        folder, "case", None, structures=structures, geometry=geometry, only_known=True
    )


def test_structures_not_named_in_reference_are_left_out(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1, 1)
    name_labels(tmp_path / "labels", myocardium=2, LV=1)
    found = known(tmp_path / "labels", geometry)
    assert found.structures == {"MYO": 2, "LV": 3}
    assert np.unique(found.labels).tolist() == [0, 3]


def test_case_without_reference_gives_none(tmp_path, geometry):
    label(tmp_path / "labels" / "other.nii.gz", 3)
    assert known(tmp_path / "labels", geometry) is None


def test_ignore_label_is_not_a_structure(tmp_path, geometry):
    folder = tmp_path / "labels"
    label(folder / "case.nii.gz", 4)
    name_labels(folder, LV=1, ignore=4)
    assert structure_numbers(folder) == {"LV": 1}
    said = says(IGNORED_VOXELS, file=folder / "case.nii.gz", value=4)
    with pytest.raises(DataError, check=said):
        known(folder, geometry, {"LV": 1})
    with pytest.raises(DataError, check=said):
        read(folder, geometry, structures={"LV": 1})
    label(folder / "case.nii.gz", 1)
    assert known(folder, geometry, {"LV": 1}).structures == {"LV": 1}


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ({"LV": 1, "heart": [1, 2]}, {"name": "heart", "value": [1, 2]}),
        ({"LV": 1, "MYO": 1}, {"name": "MYO", "value": 1}),
        ({"LV": "first"}, {"name": "LV", "value": "first"}),
        ({"LV": 70000}, {"name": "LV", "value": 70000}),
    ],
)
def test_impossible_labels_are_refused(tmp_path, labels, values):
    name_labels(tmp_path, **labels)
    with pytest.raises(DataError) as caught:
        structure_numbers(tmp_path)
    assert caught.value.values == {"file": tmp_path / "dataset.json", **values}
