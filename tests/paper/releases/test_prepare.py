"""Conversion of releases into nnU-Net raw datasets, which are complete or absent."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.check import check_case, check_dataset, check_labels
from napari_bayes_nnunet.io.dataset.groups import read_groups
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset, read_splits
from napari_bayes_nnunet.io.dataset.writer import FOLDER_NOT_EMPTY
from napari_bayes_nnunet.io.images.nifti import NO_NIFTI, read_labels, read_volume
from napari_bayes_nnunet.paper.releases.prepare import (
    EMPTY_PHASE,
    NO_FOLDS,
    NO_TRAINING_CASES,
    OVERLAP,
    prepare_dataset,
)
from napari_bayes_nnunet.paper.releases.release import MISSING_FILE

from ...helpers.checks.problems import says, says_only
from ...helpers.data.folders import finish
from ...helpers.data.releases import (
    SPACING,
    TRUE,
    acdc_patient,
    image_of,
    labels_of,
    make_acdc,
    make_mnms,
    mnms_patient,
    mnms_row,
    write,
    write_table,
)

READERS = [SimpleITKIO, NibabelIO, NibabelIOWithReorient]


def make(release: str, source: Path, output: Path) -> list[str]:
    return finish(prepare_dataset(release, source, output))[1]


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of everything in a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    return make_acdc(tmp_path / "database")


def test_acdc(acdc, tmp_path):
    before = files_below(acdc)
    progress, prepared = finish(prepare_dataset("acdc", acdc, tmp_path / "new" / "ACDC"))
    assert progress == [(done, 6) for done in range(7)]
    folder = tmp_path / "new" / "ACDC"
    assert names_in(folder) == [
        *("dataset.json", "groups.csv", "imagesTr", "imagesTs", "labelsTr", "labelsTs"),
        *("patients.csv", "splits_final.json"),
    ]
    assert names_in(folder / "imagesTs") == [
        "patient101_frame01_0000.nii.gz",
        "patient101_frame04_0000.nii.gz",
    ]
    assert names_in(folder / "labelsTs") == [
        "patient101_frame01.nii.gz",
        "patient101_frame04.nii.gz",
    ]
    dataset = read_dataset(folder)
    assert [case.name for case in dataset.cases] == [
        *("patient001_frame01", "patient001_frame04"),
        *("patient002_frame02", "patient002_frame05"),
    ]
    for case, number in zip(dataset.cases, (1 + 1, 1 + 4, 2 + 2, 2 + 5), strict=True):
        image, labels = read_volume(case.images[0]), read_labels(case.label)
        assert np.array_equal(image.voxels, image_of(number).T)
        assert image.voxels.dtype == np.int16
        assert np.array_equal(labels.voxels, labels_of(number).T)
        assert image.geometry.same_grid(labels.geometry)
    assert len(prepared) == 1
    assert files_below(acdc) == before


def test_acdc_is_described_and_passes_the_checks(acdc, tmp_path):
    make("acdc", acdc, tmp_path / "d")
    dataset = read_dataset(tmp_path / "d")
    content = dict(dataset.json)
    assert "Bernard" in content.pop("reference")
    assert content == {
        "name": "ACDC",
        "licence": "CC BY-NC-SA 4.0",
        "channel_names": {"0": "cineMRI"},
        "labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3},
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    assert not check_labels(dataset)
    assert not check_dataset(dataset, [check_case(dataset, case) for case in dataset.cases])
    with (tmp_path / "d" / "patients.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["patient"] for row in rows] == ["patient001", "patient002", "patient101"]
    assert rows[1] == {
        "patient": "patient002",
        "ED": "2",
        "ES": "5",
        "height": "184.0",
        "weight": "95.0",
    }


@pytest.mark.parametrize("reader", READERS)
def test_nnunet_sees_the_spacing(acdc, tmp_path, reader):
    """In the release itself, the reader that reorients sees 1 mm, and SimpleITK warns."""
    make("acdc", acdc, tmp_path / "d")
    source = acdc / "training" / "patient001" / "patient001_frame01.nii.gz"
    seen = reader().read_images((str(source),))[1]["spacing"]
    assert np.allclose(seen, (1, 1, 1) if reader is NibabelIOWithReorient else SPACING[::-1])
    for folder, file in (
        ("imagesTr", "patient001_frame01_0000.nii.gz"),
        ("labelsTr", "patient001_frame01.nii.gz"),
        ("imagesTs", "patient101_frame04_0000.nii.gz"),
    ):
        written = tmp_path / "d" / folder / file
        voxels, properties = reader().read_images((str(written),))
        assert np.allclose(properties["spacing"], SPACING[::-1], rtol=1e-6)
        image = nibabel.load(written)
        assert np.allclose(image.affine, TRUE)
        assert np.allclose(image.get_qform(), image.get_sform())
        if reader is not NibabelIOWithReorient:
            assert np.array_equal(voxels[0], np.asarray(image.dataobj).T)


def test_mnms(tmp_path):
    root = make_mnms(tmp_path / "OpenDataset")
    before = files_below(root)
    prepared = make("mnms", root, tmp_path / "d")
    dataset = read_dataset(tmp_path / "d")
    assert [case.name for case in dataset.cases] == [
        *("A0S9V9_frame01", "A0S9V9_frame04", "B1D0Q7_frame02", "B1D0Q7_frame03"),
    ]
    assert dataset.labels == {"background": 0, "LV": 1, "MYO": 2, "RV": 3}
    assert "Campello" in dataset.json["reference"]
    assert "ub.edu/mnms" in dataset.json["licence"]
    for case, number in zip(dataset.cases, (10, 13, 21, 22), strict=True):
        assert np.array_equal(read_volume(case.images[0]).voxels, image_of(number).T)
        assert np.array_equal(read_labels(case.label).voxels, labels_of(number).T)
    assert names_in(tmp_path / "d" / "labelsTs") == [
        *("A5C2D2_frame01.nii.gz", "A5C2D2_frame04.nii.gz"),
        *("D1K2P5_frame01.nii.gz", "D1K2P5_frame04.nii.gz"),
    ]
    _, note = prepared
    assert "Training/Unlabeled" in note
    assert "C2U4V1" in note
    assert files_below(root) == before
    groups = read_groups(tmp_path / "d" / "labelsTs")
    assert groups == read_groups(tmp_path / "d" / "labelsTr")
    assert len(groups) == 8
    assert groups["D1K2P5_frame04"] == {
        "phase": "ES",
        "vendor": "D",
        "centre": "5",
        "pathology": "HCM",
        "subset": "testing",
    }
    with (tmp_path / "d" / "groups.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:3] == ["case", "patient", "phase"]
    assert rows[-1]["patient"] == "D1K2P5"


@pytest.mark.parametrize("reader", READERS)
def test_nnunet_reads_directions_that_were_not_orthonormal(tmp_path, reader):
    root = make_mnms(tmp_path / "OpenDataset")
    sheared = root / "Testing" / "D1K2P5" / "D1K2P5_sa.nii.gz"
    if reader is SimpleITKIO:
        with pytest.raises(RuntimeError, match="orthonormal"):
            reader().read_images((str(sheared),))
    make("mnms", root, tmp_path / "d")
    for folder, end in (("imagesTs", "_0000"), ("labelsTs", "")):
        file = tmp_path / "d" / folder / f"D1K2P5_frame04{end}.nii.gz"
        spacing = reader().read_images((str(file),))[1]["spacing"]
        assert np.allclose(spacing, SPACING[::-1], rtol=1e-5)


def test_folds_keep_a_patient_together(acdc, tmp_path):
    for number in range(3, 9):
        acdc_patient(acdc / "training" / f"patient{number:03d}")
    make("acdc", acdc, tmp_path / "d")
    cases = [case.name for case in read_dataset(tmp_path / "d").cases]
    splits = read_splits(tmp_path / "d" / "splits_final.json", cases)
    assert len(splits) == 5
    assert sorted(name for split in splits for name in split.validation) == sorted(cases)
    for split in splits:
        assert not {*map(patient_of, split.train)} & {*map(patient_of, split.validation)}


def test_a_single_patient_has_no_folds(tmp_path):
    acdc_patient(tmp_path / "one" / "patient001")
    prepared = make("acdc", tmp_path / "one", tmp_path / "d")
    assert not (tmp_path / "d" / "splits_final.json").exists()
    assert prepared[1:] == [NO_FOLDS]


def test_phases_with_empty_labels_are_left_out(tmp_path):
    root = make_mnms(tmp_path / "OpenDataset")
    mnms_patient(root / "Training" / "Labeled" / "B1D0Q7", labelled=(1,))
    mnms_patient(root / "Validation" / "A5C2D2", labelled=(2,))
    prepared = make("mnms", root, tmp_path / "d")
    assert "5 cases of 3 patients, 3 to train on and 2 held out" in prepared[0]
    assert prepared[2:] == [
        EMPTY_PHASE.format(phase=phase, patient=patient, file=f"{patient}_sa_gt.nii.gz")
        for phase, patient in (("ES", "B1D0Q7"), ("ED", "A5C2D2"), ("ES", "A5C2D2"))
    ]
    assert read_dataset(tmp_path / "d").json["numTraining"] == 3
    assert "A5C2D2_frame01" not in read_groups(tmp_path / "d")
    assert "A5C2D2" not in (tmp_path / "d" / "patients.csv").read_text(encoding="utf-8")


def test_the_text_has_counts_and_notes(acdc, tmp_path):
    acdc_patient(acdc / "testing" / "patient102", labelled=False)
    info = acdc / "testing" / "patient101" / "Info.cfg"
    info.write_text("ED: 1\nES: 4\n", encoding="utf-8")
    counts, note = make("acdc", acdc, tmp_path / "d")
    folder = str(tmp_path / "d")
    assert counts.startswith(folder)
    assert re.findall(r"\d+", counts.removeprefix(folder))[:4] == ["6", "3", "4", "2"]
    groups = "ED 3, ES 3", "DCM 2, HCM 2, unknown 2", "testing 2, training 4"
    assert all(group in counts for group in groups)
    assert "patient102" in note


@pytest.mark.parametrize("where", [".", "ACDC", "training/patient001/d", ".."])
def test_nothing_is_written_into_the_release(acdc, tmp_path, where):
    before = files_below(tmp_path)
    with pytest.raises(AppError, check=says(OVERLAP)):
        make("acdc", acdc, acdc / where)
    assert files_below(tmp_path) == before


def test_links_do_not_lead_into_the_release(acdc, tmp_path):
    (tmp_path / "link").symlink_to(acdc)
    with pytest.raises(AppError, check=says(OVERLAP)):
        make("acdc", acdc, tmp_path / "link" / "d")


def test_only_an_empty_folder_is_taken(acdc, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "d").mkdir()
    make("acdc", acdc, tmp_path / "d")
    before = files_below(tmp_path)
    for taken in ("file", "d"):
        with pytest.raises(DataError, check=says_only(FOLDER_NOT_EMPTY, folder=tmp_path / taken)):
            make("acdc", acdc, tmp_path / taken)
    assert files_below(tmp_path) == before


def without_training(root: Path) -> None:
    for file in (root / "training").rglob("*_gt.nii.gz"):
        write(file, np.zeros((6, 5, 3), np.uint8))


@pytest.mark.parametrize(
    ("damage", "template", "name"),
    [
        (without_training, NO_TRAINING_CASES, "ACDC"),
        (
            lambda root: (root / "training" / "patient002" / "Info.cfg").unlink(),
            MISSING_FILE,
            "patient002/Info.cfg",
        ),
        (
            lambda root: next(root.rglob("patient002_frame05.nii.gz")).write_bytes(b"text"),
            NO_NIFTI,
            "patient002_frame05.nii.gz",
        ),
        (
            lambda root: next(root.rglob("patient101_frame01.nii.gz")).unlink(),
            MISSING_FILE,
            "patient101_frame01.nii.gz",
        ),
    ],
)
def test_a_damaged_release_leaves_nothing(acdc, tmp_path, damage, template, name):
    damage(acdc)
    with pytest.raises((AppError, DataError)) as caught:
        make("acdc", acdc, tmp_path / "d")
    assert caught.value.statement.template == template
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ".writing-" not in str(caught.value)
    assert names_in(tmp_path) == ["database"]


def test_a_phase_beyond_the_cine(tmp_path):
    root = make_mnms(tmp_path / "OpenDataset")
    codes = ("B1D0Q7", "A5C2D2", "D1K2P5")
    write_table(root, [mnms_row("A0S9V9", ES=5), *map(mnms_row, codes)])
    with pytest.raises(DataError) as caught:
        make("mnms", root, tmp_path / "d")
    expected = {"found": "5 phases", "expected": "phase 6, the ES of A0S9V9"}
    assert caught.value.values.items() >= expected.items()
