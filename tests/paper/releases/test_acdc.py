"""Reader of the ACDC release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.paper.releases.acdc import read_acdc
from napari_bayes_nnunet.paper.releases.release import MISSING_FILE, SAME_FRAME

from ...helpers.checks.problems import says
from ...helpers.data.releases import acdc_patient, make_acdc


def test_cases_of_both_subsets(tmp_path):
    release = read_acdc(make_acdc(tmp_path))
    assert [(case.name, case.phase, case.held_out) for case in release.cases] == [
        ("patient001_frame01", "ED", False),
        ("patient001_frame04", "ES", False),
        ("patient002_frame02", "ED", False),
        ("patient002_frame05", "ES", False),
        ("patient101_frame01", "ED", True),
        ("patient101_frame04", "ES", True),
    ]
    case = release.cases[3]
    folder = tmp_path / "training" / "patient002"
    assert case.image == folder / "patient002_frame05.nii.gz"
    assert case.label == folder / "patient002_frame05_gt.nii.gz"
    assert not case.in_cine
    assert case.groups == {"pathology": "HCM", "subset": "training"}
    assert release.labels == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    assert release.facts["patient002"] == {
        "ED": "2",
        "ES": "5",
        "height": "184.0",
        "weight": "95.0",
    }
    assert release.notes == ()


@pytest.mark.parametrize("above", ["database", "ACDC/database"])
def test_release_is_found_below_the_folder_of_the_download(tmp_path, above):
    make_acdc(tmp_path / above)
    assert len(read_acdc(tmp_path).cases) == 6


def test_patients_without_a_folder_above_them(tmp_path):
    root = make_acdc(tmp_path)
    cases = read_acdc(root / "testing").cases
    assert [case.name for case in cases] == ["patient101_frame01", "patient101_frame04"]
    assert not any(case.held_out for case in cases)
    assert cases[0].groups == {"pathology": "NOR"}


def test_a_test_without_labels_is_left_out(tmp_path):
    root = make_acdc(tmp_path)
    for number in (102, 103):
        acdc_patient(root / "testing" / f"patient{number}", labelled=False)
    release = read_acdc(root)
    assert len(release.cases) == 6
    assert "patient102" not in release.facts
    (note,) = release.notes
    assert note.startswith("2 ")
    assert "patient102, patient103" in note


def test_cine_and_pathology_are_optional(tmp_path):
    patient = acdc_patient(tmp_path / "patient007")
    (patient / "patient007_4d.nii.gz").unlink()
    (patient / "Info.cfg").write_text("ED: 1\nES: 4\nHeight:\n", encoding="utf-8")
    release = read_acdc(tmp_path)
    assert release.cases[0].groups == {"pathology": ""}
    assert release.facts["patient007"] == {"ED": "1", "ES": "4", "height": "", "weight": ""}


def rewritten(text: str) -> Callable[[Path], object]:
    return lambda patient: (patient / "Info.cfg").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "template", "name", "frame"),
    [
        (lambda p: (p / "Info.cfg").unlink(), MISSING_FILE, "Info.cfg", ""),
        (rewritten("ED: 1\nGroup: DCM\n"), "", "Info.cfg", ""),
        (rewritten("ED: 4\nES: 4\n"), SAME_FRAME, "Info.cfg", "4"),
        (rewritten("ED: 1\nES: 3\n"), MISSING_FILE, "patient001_frame03.nii.gz", "ES is phase 3"),
        (
            lambda p: (p / "patient001_frame04.nii.gz").unlink(),
            *(MISSING_FILE, "patient001_frame04.nii.gz", "ES is phase 4"),
        ),
        (
            lambda p: (p / "patient001_frame01_gt.nii.gz").unlink(),
            *(MISSING_FILE, "patient001_frame01_gt.nii.gz", "ED is phase 1"),
        ),
    ],
)
def test_damaged_patients_are_refused(tmp_path, damage, template, name, frame):
    patient = make_acdc(tmp_path) / "training" / "patient001"
    damage(patient)
    with pytest.raises(DataError) as caught:
        read_acdc(tmp_path)
    assert template in caught.value.statement.template
    assert caught.value.values["file"] == patient / name
    assert frame in str(caught.value)


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        read_acdc(tmp_path / "nowhere")
    assert caught.value.values == {"folder": tmp_path / "nowhere", "contents": "ACDC release"}
    with pytest.raises(DataError) as caught:
        read_acdc(tmp_path)
    assert caught.value.values["found"] == "nothing"
    assert "training/patient001/Info.cfg" in caught.value.values["expected"]
    (tmp_path / "imagesTr").mkdir()
    with pytest.raises(DataError, check=says(found="imagesTr")):
        read_acdc(tmp_path)
