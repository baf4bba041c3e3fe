"""References found by name and renumbered like the study, and those that do not match."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.predictions import predicted_cases
from napari_bayes_nnunet.io.evaluation.references import (
    IGNORED_VOXELS,
    SEVERAL_REFERENCES,
    SHARED_REFERENCE,
    ReferenceTree,
    reference_labels,
    structure_numbers,
)
from napari_bayes_nnunet.io.files.nnunet_names import REGIONS_WITHOUT_ORDER
from napari_bayes_nnunet.io.images.nifti import read_volume

from ...helpers.checks.problems import says, says_only
from ...helpers.data.folders import PHASES, cine, cine_label, image, label
from ...helpers.processes.small_disk import forget_file_numbers


def touch(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_subfolders_without_file_numbers_are_searched(tmp_path, monkeypatch):
    touch(tmp_path, "p1/heart.nii.gz", "p2/heart.nii.gz")
    (tmp_path / "p2" / "circle").symlink_to(tmp_path)
    forget_file_numbers(monkeypatch)
    assert predicted_cases(tmp_path) == ["p1/heart", "p2/heart"]


@pytest.mark.parametrize(
    ("files", "case", "phase", "expected"),
    [
        (["p1/heart.nii.gz", "p2/heart.nii.gz"], "p1/heart", None, "p1/heart"),
        (["heart_gt.nii.gz"], "p1/heart", None, "heart"),
        (["p1/heart.nii.gz", "heart.nii.gz"], "p1/heart", None, "p1/heart"),
        (["p1/heart_frame01_gt.nii", "p1/heart_frame01.nii"], "heart_frame01", 1, "p1/heart"),
        (["deep/p7_frame03_gt.nii.gz"], "x/p7_4d_frame03", 3, "deep/p7_4d"),
        (["p1/cine.nii.gz"], "p1/cine_frame02", 2, "p1/cine"),
        (["p1/other.nii.gz"], "p1/heart", None, None),
    ],
)
def test_reference_has_the_same_place_or_is_alone(tmp_path, files, case, phase, expected):
    matches = ReferenceTree(touch(tmp_path, *files)).match({case: phase})
    assert matches.get(case) == expected


def test_several_references_of_a_case_are_refused(tmp_path):
    touch(tmp_path, "a/heart.nii.gz", "b/heart.nii.gz")
    with pytest.raises(DataError, check=says(SEVERAL_REFERENCES, files="a/heart, b/heart")):
        ReferenceTree(tmp_path).match({"p1/heart": None})


def test_reference_of_several_cases_is_refused(tmp_path):
    touch(tmp_path, "heart.nii.gz")
    with pytest.raises(DataError) as caught:
        ReferenceTree(tmp_path).match({"p1/heart": None, "p2/heart": None})
    assert caught.value.statement.template == SHARED_REFERENCE
    assert (caught.value.values["first"], caught.value.values["second"]) == ("p1/heart", "p2/heart")


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
    with pytest.raises(DataError, check=says(structure="RV", known="LV, MYO")):
        read(tmp_path / "labels", geometry)


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
        ({"LV": 1, "heart": [1, 2]}, {"reason": statement(REGIONS_WITHOUT_ORDER)}),
        ({"LV": 1, "MYO": 1}, {"name": "MYO", "value": 1}),
        ({"LV": "first"}, {"name": "LV", "value": "first"}),
        ({"LV": 70000}, {"name": "LV", "value": 70000}),
    ],
)
def test_impossible_labels_are_refused(tmp_path, labels, values):
    name_labels(tmp_path, **labels)
    with pytest.raises(DataError, check=says_only(file=tmp_path / "dataset.json", **values)):
        structure_numbers(tmp_path)
