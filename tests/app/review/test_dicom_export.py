"""Export of a reviewed study as DICOM."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet import __version__
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.review.dicom_export import export_dicom
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import read_dicom
from napari_bayes_nnunet.io.dicom.seg import read_seg
from napari_bayes_nnunet.io.study.arrays import save_edited
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.cines import ED, ES, LV, SHAPE, make_cine
from ...helpers.dicoms import write_cine

CASE = "dicom-1234"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write the DICOM folder that the study is made from."""
    voxels = np.random.default_rng(1).integers(1, 400, (4, *SHAPE), dtype=np.int16)
    write_cine(tmp_path / "in" / "Doe", voxels, series_per_slice=True)
    return tmp_path / "in" / "Doe"


@pytest.fixture
def study(images: Path, tmp_path: Path) -> Path:
    """Write a study of two of four phases, with one corrected slice."""
    geometry = read_dicom(images).geometry
    folder = make_cine(tmp_path / "study", geometry=geometry, case=CASE, ed=ED, es=ES)
    edited = read_study(folder).edited
    edited[ED - 1, 2, :5, :5] = LV
    save_edited(folder, edited, geometry)
    return folder


def test_labels_and_numbers_are_exported(study: Path, images: Path, tmp_path: Path) -> None:
    files = export_dicom(study, images, tmp_path / "out")
    assert [file.name for file in files] == [
        f"{CASE}_frame01_seg.dcm",
        f"{CASE}_frame03_seg.dcm",
        f"{CASE}_measurements.dcm",
        f"{CASE}_numbers.csv",
    ]
    session = ReviewSession(read_study(study))
    for file, phase in zip(files, (ED, ES), strict=False):
        assert np.array_equal(read_seg(file).voxels, session.labels[phase - 1])
    groups = hd.sr.srread(files[2]).content.get_image_measurement_groups()
    values = {m.name.value: m.value for group in groups for m in group.get_measurements()}
    assert values["8821-1"] == pytest.approx(session.measured()["LV EDV"].value, abs=0.01)
    assert values["8811-2"] == pytest.approx(session.measured()["LV EF"].value, abs=0.01)
    written = hd.seg.segread(files[0])
    assert written.SoftwareVersions == __version__
    assert written.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert "Doe" not in files[3].read_text()


def test_command_lists_the_files(study: Path, images: Path, tmp_path: Path) -> None:
    arguments = ["export-dicom", str(study), str(images), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) == 4


def test_folder_of_the_images_is_refused(study: Path, images: Path) -> None:
    before = sorted(images.rglob("*"))
    with pytest.raises(AppError) as caught:
        export_dicom(study, images, images)
    assert caught.value.values == {"folder": images, "contents": "images"}
    assert sorted(images.rglob("*")) == before


def test_images_of_another_patient_are_refused(study: Path, tmp_path: Path) -> None:
    voxels = np.random.default_rng(2).integers(1, 400, (4, *SHAPE), dtype=np.int16)
    write_cine(tmp_path / "other", voxels)
    with pytest.raises(DataError) as caught:
        export_dicom(study, tmp_path / "other", tmp_path / "out")
    assert caught.value.values["case"] == CASE
    assert caught.value.values["expected"] == read_study(study).info.geometry
    assert not (tmp_path / "out").exists()
