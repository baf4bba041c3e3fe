"""Reader of the M&Ms release."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.paper.releases.mnms import WRONG_TABLE, read_mnms
from napari_bayes_nnunet.paper.releases.release import MISSING_FILE, SAME_FRAME

from ...helpers.checks.problems import says, says_only
from ...helpers.data.releases import make_mnms, mnms_patient, mnms_row, write_table


def test_cases_of_all_subsets(tmp_path):
    release = read_mnms(make_mnms(tmp_path))
    assert [(case.name, case.phase, case.held_out) for case in release.cases] == [
        ("A0S9V9_frame01", "ED", False),
        ("A0S9V9_frame04", "ES", False),
        ("B1D0Q7_frame02", "ED", False),
        ("B1D0Q7_frame03", "ES", False),
        ("A5C2D2_frame01", "ED", True),
        ("A5C2D2_frame04", "ES", True),
        ("D1K2P5_frame01", "ED", True),
        ("D1K2P5_frame04", "ES", True),
    ]
    assert all(case.in_cine for case in release.cases)
    folder = tmp_path / "Training" / "Labeled" / "B1D0Q7"
    assert release.cases[3].image == folder / "B1D0Q7_sa.nii.gz"
    assert release.cases[3].label == folder / "B1D0Q7_sa_gt.nii.gz"
    assert release.labels == {"background": 0, "LV": 1, "MYO": 2, "RV": 3}
    groups = {case.patient: dict(case.groups) for case in release.cases}
    same = {"pathology": "HCM", "subset": "training"}
    assert groups == {
        "A0S9V9": {"vendor": "A", "centre": "1", **same},
        "B1D0Q7": {"vendor": "B", "centre": "2", **same},
        "A5C2D2": {"vendor": "A", "centre": "1", "pathology": "NOR", "subset": "validation"},
        "D1K2P5": {"vendor": "D", "centre": "5", "pathology": "HCM", "subset": "testing"},
    }
    assert release.facts["B1D0Q7"] == {
        "ED": "2",
        "ES": "3",
        "vendor_name": "Philips",
        "age": "45",
        "sex": "F",
        "height": "170",
        "weight": "70",
    }


def test_patients_without_labels_are_left_out(tmp_path):
    """Patients of Training/Unlabeled have label files, but all are empty."""
    root = make_mnms(tmp_path)
    assert (root / "Training" / "Unlabeled" / "C2U4V1" / "C2U4V1_sa_gt.nii.gz").is_file()
    mnms_patient(root / "Testing" / "E1", labelled=None)
    mnms_patient(root / "Testing" / "E2", labelled=None)
    unlabelled, testing = read_mnms(root).notes
    assert "1 patient of Training/Unlabeled" in unlabelled
    assert "C2U4V1" in unlabelled
    assert "2 patients of Testing" in testing
    assert "E1, E2" in testing


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ED": "end"}, "the ED phase of A0S9V9 is 'end'"),
        ({"ES": ""}, "the ES phase of A0S9V9 is ''"),
        ({"ES": -1}, "the ES phase of A0S9V9 is '-1'"),
        ({"ED": "2.5"}, "the ED phase of A0S9V9 is '2.5'"),
        ({"External code": "A0S9V8"}, "no line for A0S9V9 of Training/Labeled"),
        ({"External code": "B1D0Q7"}, "two lines for B1D0Q7"),
        ({"ED": 3}, ""),
    ],
)
def test_wrong_lines_are_refused(tmp_path, changes, reason):
    root = make_mnms(tmp_path)
    codes = ("B1D0Q7", "A5C2D2", "D1K2P5")
    table = write_table(root, [mnms_row("A0S9V9", **changes), *map(mnms_row, codes)])
    with pytest.raises(DataError) as caught:
        read_mnms(root)
    assert caught.value.statement.template == (WRONG_TABLE if reason else SAME_FRAME)
    assert caught.value.values["file"] == table
    assert reason in caught.value.values.get("reason", "")


def test_unusable_tables_are_refused(tmp_path):
    root = make_mnms(tmp_path)
    row = mnms_row("A0S9V9")
    table = write_table(root, [{k: v for k, v in row.items() if k not in ("Vendor", "ES")}])
    with pytest.raises(DataError) as caught:
        read_mnms(root)
    assert "lacks the columns Vendor, ES, found" in caught.value.values["reason"]
    table.write_text("", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_mnms(root)
    assert "lacks the columns External code" in caught.value.values["reason"]
    table.unlink()
    with pytest.raises(DataError) as caught:
        read_mnms(root)
    assert caught.value.values == {"folder": root, "found": "Testing, Training, Validation"}
    for name in ("a.csv", "b.csv"):
        write_table(root, [row], name)
    with pytest.raises(DataError, check=says_only(folder=root, found="a.csv, b.csv")):
        read_mnms(root)


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        read_mnms(tmp_path / "nowhere")
    assert caught.value.values == {"folder": tmp_path / "nowhere", "contents": "M&Ms release"}
    (tmp_path / "training").mkdir()
    with pytest.raises(DataError) as caught:
        read_mnms(tmp_path)
    assert caught.value.values["found"] == "training"
    for subset in ("Training/Labeled", "Validation", "Testing"):
        assert subset in caught.value.values["expected"]


def test_a_patient_without_an_image(tmp_path):
    root = make_mnms(tmp_path)
    image = root / "Validation" / "A5C2D2" / "A5C2D2_sa.nii.gz"
    image.unlink()
    with pytest.raises(DataError, check=says(MISSING_FILE, file=image)):
        read_mnms(root)
