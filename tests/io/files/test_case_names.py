"""Case, phase and kind in the names of image and label files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_bayes_nnunet.io.files.case_names import (
    is_named_label,
    may_share_patient,
    other_contrast,
    patient_folders,
    read_case_name,
    result_name,
    safe_name,
)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("p1.nii.gz", "p1.nii"),
        ("p1_0000.nii.gz", "p1.nii.gz"),
        ("p1_0000.nii.gz", "p1_0000_gt.nii.gz"),
        ("p1_0000.nii.gz", "p1_gt_0000.nii.gz"),
        ("p1_frame01.nii.gz", "p1_frame01_gt.nii.gz"),
        ("p1_frame01_0000.nii.gz", "p1_frame1_GT.NII.GZ"),
        ("p1.nii.gz", "P1-label.nii.gz"),
        ("p1.nii.gz", "p1_labels.nii.gz"),
        ("p1.nii.gz", "p1_seg.nii.gz"),
        ("p1.nii.gz", "p1.segmentation.nii.gz"),
        ("p1.nii.gz", "p1_mask.nii.gz"),
        ("p1.nii.gz", "p1_manual_seg.nii.gz"),
        ("p1.nii.gz", "p1_ground_truth.nii.gz"),
        ("p1_image.nii.gz", "p1_label.nii.gz"),
        ("image_001.nii.gz", "label_001.nii.gz"),
        ("volume-3.nii", "segmentation-3.nii"),
        ("left_mask.nii.gz", "left_mask.nii.gz"),
        ("imaging.nii.gz", "segmentation.nii.gz"),
        ("p1_ED_frame20.nii.gz", "p1_ED_frame20_gt.nii.gz"),
        ("p1_SA_ED.nii.gz", "p1_SA_ED_gt.nii.gz"),
        ("p1_4d.nii.gz", "p1_4d_gt.nii.gz"),
        ("p1_cine.nii.gz", "p1_gt.nii.gz"),
    ],
)
def test_image_and_label_of_one_case(image, label):
    assert read_case_name(Path(image)).key == read_case_name(Path(label)).key


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("p1.nii.gz", "p2.nii.gz"),
        ("p1.nii.gz", "p11_gt.nii.gz"),
        ("p1_frame01.nii.gz", "p1_frame10_gt.nii.gz"),
        ("p1_frame01.nii.gz", "p1_gt.nii.gz"),
        ("p1_ED.nii.gz", "p1_ES_gt.nii.gz"),
        ("p1.nii.gz", "p1smask.nii.gz"),
    ],
)
def test_image_and_label_of_other_cases(image, label):
    assert read_case_name(Path(image)).key != read_case_name(Path(label)).key


@pytest.mark.parametrize(
    ("file", "case"),
    [
        ("patient001_frame01_0000.nii.gz", "patient001_frame01"),
        ("patient001_4d.nii.gz", "patient001"),
        ("SCD0000101_ED_frame19.nii.gz", "SCD0000101_frame19"),
        ("SCD0000101_frame119.nii.gz", "SCD0000101_frame119"),
        ("001_SA_es.nii.gz", "001_SA_frameES"),
        ("Heart_Image.nii", "Heart"),
    ],
)
def test_name_of_the_case(file, case):
    assert str(read_case_name(Path(file))) == case


def test_a_number_that_counts_cases_stays():
    assert str(read_case_name(Path("h_0000.nii"), is_channel=False)) == "h_0000"


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("p1_gt.nii.gz", True),
        ("p1_gt_0000.nii.gz", True),
        ("mask_7.nii.gz", True),
        ("labelsTr/p1.nii.gz", True),
        ("p1/Segmentations/a.nii.gz", True),
        ("p1.nii.gz", False),
        ("p1_0000.nii.gz", False),
        ("imagesTr/p1.nii.gz", False),
        ("labelsTs/p1.nii.gz", False),
        ("gtx_1.nii.gz", False),
    ],
)
def test_what_is_named_like_a_label(file, named):
    assert is_named_label(Path("gt", file), Path("gt")) is named


def test_sub_folders_of_one_patient():
    root = Path("data")
    image = patient_folders(root / "p1" / "images" / "a.nii.gz", root)
    label = patient_folders(root / "labels" / "p1" / "a.nii.gz", root)
    assert image == label == ("p1",)
    assert may_share_patient(image, ())
    assert may_share_patient(image, ("p1", "reader B"))
    assert not may_share_patient(image, ("p2",))
    assert patient_folders(root / "imagesTs" / "a.nii.gz", root) == ("imagesTs",)


def test_names_that_are_safe_in_paths():
    assert safe_name("Herz 7 (ä):x") == "Herz_7_ä_x"
    assert safe_name("..") == ""


@pytest.mark.parametrize("name", ["Herz für alle_4d", "h  2", "x" * 180, "-a", "é" * 90])
def test_results_are_called_like_their_file(name):
    assert result_name(name) == name


ODD_NAMES = [
    *("a\nb", "a\x1b[31mb", "a\udcffb", "a\u202eb"),
    *("../a", "a\\b", "x" * 181, "é" * 91, "", ".", ".."),
]


@given(st.sampled_from(ODD_NAMES) | st.text(), st.text())
@example("a\nb", "a\tb")
@example("x" * 181, "x" * 180 + "y")
def test_names_of_results_are_clean_and_differ(name, other):
    shown = result_name(name)
    assert shown.isprintable()
    assert shown.strip(".")
    assert not {"/", "\\"} & {*shown}
    assert len(shown.encode()) < 190
    assert name == other or shown != result_name(other)


@pytest.mark.parametrize(
    ("name", "is_asked"),
    [
        *((name, True) for name in ("p1_DE", "LGE", "sax-psir-2", "T1map_pre", "p1 t2", "x.STIR")),
        *((name, True) for name in ("PERF_rest", "T2_MAP", "MOLLI5", "07LGE")),
        *((name, False) for name in ("patient001_frame01", "SC-HF-I-01_ED", "deMarco", "t12")),
        *((name, False) for name in ("cine_sax", "mapped", "perfect", "frame_t3", "")),
    ],
)
def test_words_of_another_contrast_are_found(name, is_asked):
    assert bool(other_contrast(name)) is is_asked
