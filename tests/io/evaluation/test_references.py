"""References found by name and numbered as the study; every misfit is one sentence."""

import json

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.references import (
    known_reference,
    reference_labels,
    structure_numbers,
)
from napari_bayes_nnunet.io.images.nifti import read_volume

from ...helpers.folders import PHASES, SHAPE, cine, cine_label, image, label

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture
def geometry(tmp_path):
    return read_volume(image(tmp_path / "image.nii.gz")).geometry


@pytest.fixture
def cine_geometry(tmp_path):
    return read_volume(cine(tmp_path / "cine.nii.gz")).geometry


def read(folder, geometry, case="case", phase=None, structures=STRUCTURES):
    return reference_labels(folder, case, phase, structures=structures, geometry=geometry)


def name_labels(folder, **numbers):
    folder.mkdir(exist_ok=True)
    text = json.dumps({"labels": {"background": 0, **numbers}})
    (folder / "dataset.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["case.nii.gz", "case_gt.nii.gz", "case.nii", "case_gt.nii"])
def test_a_volume_is_found_by_its_case(tmp_path, geometry, name):
    label(tmp_path / "labels" / name, 3, 2, 1)
    found = read(tmp_path / "labels", geometry)
    assert found.shape == SHAPE[::-1]
    assert sorted(np.unique(found)) == [0, 1, 2, 3]


def test_an_image_may_lie_beside_its_labels(tmp_path, geometry):
    """As in the folders of ACDC and Sunnybrook."""
    image(tmp_path / "labels" / "case.nii.gz")
    label(tmp_path / "labels" / "case_gt.nii.gz", 3)
    assert read(tmp_path / "labels", geometry).max() == 3


def test_without_a_file_there_is_no_reference(tmp_path, geometry):
    label(tmp_path / "labels" / "other.nii.gz", 3)
    assert read(tmp_path / "labels", geometry) is None


def test_a_volume_may_be_empty(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz")
    assert not read(tmp_path / "labels", geometry).any()


@pytest.mark.parametrize("name", ["case_frame02.nii.gz", "case_frame02_gt.nii.gz"])
@pytest.mark.parametrize("case", ["case", "case_4d"])
def test_a_phase_has_a_file_of_its_own(tmp_path, cine_geometry, name, case):
    label(tmp_path / "labels" / name, 3)
    assert read(tmp_path / "labels", cine_geometry, case, 2).max() == 3
    assert read(tmp_path / "labels", cine_geometry, case, 3) is None


def test_a_phase_is_taken_from_labels_of_the_whole_cine(tmp_path, cine_geometry):
    cine_label(tmp_path / "labels" / "case.nii.gz", {2: (1, 3)})
    assert read(tmp_path / "labels", cine_geometry, phase=2).max() == 3
    for phase in {*range(1, PHASES + 1)} - {2}:
        assert read(tmp_path / "labels", cine_geometry, phase=phase) is None


def test_one_volume_does_not_say_which_phase_it_is(tmp_path, cine_geometry):
    label(tmp_path / "labels" / "case.nii.gz", 3)
    with pytest.raises(DataError, match="that it is phase 2 .* end in _frame02"):
        read(tmp_path / "labels", cine_geometry, phase=2)


@pytest.mark.parametrize("inside", [True, False])
def test_labels_are_renumbered_by_name(tmp_path, geometry, inside):
    label(tmp_path / "labels" / "case.nii.gz", 1, 2, 3)
    names = {"LV cavity": 1, "left ventricular myocardium": 2, "rv": 3}
    name_labels(tmp_path / "labels" if inside else tmp_path, **names)
    np.testing.assert_array_equal(read(tmp_path / "labels", geometry)[0, 0, 0], 3)
    found = read(tmp_path / "labels", geometry)
    assert {int(v): int((found == v).sum()) for v in (1, 2, 3)} == {1: 1, 2: 1, 3: 1}


def test_structures_that_the_study_does_not_show_become_background(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1, 2)
    name_labels(tmp_path / "labels", scar=1, LV=2)
    found = read(tmp_path / "labels", geometry, structures={"LV": 3})
    assert np.unique(found).tolist() == [0, 3]
    assert np.count_nonzero(found) == 1


def test_a_reference_that_lacks_a_structure_is_refused(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1)
    name_labels(tmp_path / "labels", LV=1, MYO=2)
    with pytest.raises(DataError, match="knows no structure RV, .* it knows LV, MYO"):
        read(tmp_path / "labels", geometry)


def test_a_value_without_a_meaning_is_refused(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1, 7)
    with pytest.raises(DataError, match=r"holds the value 7, but only 1 \(RV\), 2 \(MYO\)"):
        read(tmp_path / "labels", geometry)


def test_another_grid_is_refused(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1, shape=(5, 5, 3))
    with pytest.raises(DataError, match="another grid .* than the study case"):
        read(tmp_path / "labels", geometry)


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": {"LV": [1, 2]}}', "{}"])
def test_a_damaged_dataset_json_is_one_sentence(tmp_path, geometry, text):
    label(tmp_path / "labels" / "case.nii.gz", 1)
    (tmp_path / "labels" / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json"):
        read(tmp_path / "labels", geometry)


def known(folder, geometry, structures=STRUCTURES):
    return known_reference(folder, "case", None, structures=structures, geometry=geometry)


def test_structures_that_the_reference_does_not_name_are_left_out(tmp_path, geometry):
    label(tmp_path / "labels" / "case.nii.gz", 1, 1)
    name_labels(tmp_path / "labels", myocardium=2, LV=1)
    found = known(tmp_path / "labels", geometry)
    assert found.structures == {"MYO": 2, "LV": 3}
    assert np.unique(found.labels).tolist() == [0, 3]


def test_without_names_the_reference_knows_what_it_shows(tmp_path, geometry):
    """Sunnybrook: no RV at all, the myocardium in end-diastole only."""
    label(tmp_path / "labels" / "case.nii.gz", 3, 3, 2)
    assert known(tmp_path / "labels", geometry).structures == {"MYO": 2, "LV": 3}
    label(tmp_path / "labels" / "case.nii.gz", 3, 3)
    assert known(tmp_path / "labels", geometry).structures == {"LV": 3}


def test_a_case_without_a_reference_knows_nothing(tmp_path, geometry):
    label(tmp_path / "labels" / "other.nii.gz", 3)
    assert known(tmp_path / "labels", geometry) is None


def test_the_numbers_of_structures_are_those_of_the_nearest_dataset_json(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    assert structure_numbers(folder) is None
    name_labels(tmp_path, LV=1)
    assert structure_numbers(folder) == {"LV": 1}
    name_labels(folder, RV=4)
    assert structure_numbers(folder) == {"RV": 4}


def test_what_nnunet_ignores_is_no_structure_and_cannot_be_judged(tmp_path, geometry):
    folder = tmp_path / "labels"
    label(folder / "case.nii.gz", 4)
    name_labels(folder, LV=1, ignore=4)
    assert structure_numbers(folder) == {"LV": 1}
    with pytest.raises(DataError, match=r"holds the value 4, but only 1 \(LV\) have a meaning"):
        known(folder, geometry, {"LV": 1})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"LV": 1, "heart": [1, 2]}, "heart is a region of several labels"),
        ({"LV": 1, "MYO": 1}, "LV and MYO are both 1"),
        ({"LV": 70000}, "LV is 70000"),
    ],
)
def test_labels_that_are_no_single_numbers_are_refused(tmp_path, labels, words):
    name_labels(tmp_path, **labels)
    with pytest.raises(DataError, match=words):
        structure_numbers(tmp_path)
