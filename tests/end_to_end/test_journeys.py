"""Tests of the journeys of the docs by mouse and keys, from the first click to the files."""

import csv
import os
import sys
from pathlib import Path

import napari
import numpy as np
import pytest
from benchmarks.pictures import hand as of_hand
from benchmarks.pictures import journeys
from benchmarks.pictures.camera import Camera
from benchmarks.pictures.hand import Hand
from napari.plugins import _npe2
from npe2 import PluginManager, PluginManifest

import napari_bayes_nnunet
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.archive import Archive
from napari_bayes_nnunet.io.dicom.seg import read_seg
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.sample_data import CINE
from napari_bayes_nnunet.widgets.layers import sample_data
from napari_bayes_nnunet.widgets.segment import dock as segment_dock
from napari_bayes_nnunet.widgets.segment import save
from napari_bayes_nnunet.widgets.training import dock as training_dock
from napari_bayes_nnunet.widgets.training.watch import TrainingWatch

from ..helpers.data.dicoms import NAME, PATIENT, write_cine
from ..helpers.data.evaluations import answer, heart, name_labels, write_answer, write_reference
from ..helpers.data.sample import write_small_cine
from ..helpers.processes.orthanc import HOST, run_orthanc
from ..helpers.processes.thread_child import ThreadChild
from ..helpers.windows.own_app import own_app
from ..helpers.windows.patient_bot import PATIENCE_MS

PACKAGE = Path(napari_bayes_nnunet.__file__).parent
HAS_DISPLAY = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not HAS_DISPLAY, reason="needs a display or Xvfb"
)


TRAIN = """
import pathlib, shutil, sys
_, trained, *words = sys.argv
run = pathlib.Path(words[words.index("--output") + 1])
shutil.copytree(trained, run, dirs_exist_ok=True)
(run / "words").write_text("\\n".join(words), encoding="utf-8")
"""
"""A training of no time, whose run is a copy of another one."""


@pytest.fixture
def no_child(monkeypatch):
    """Segment with a fake child, in tests of what comes before and after."""
    monkeypatch.setattr(segment_dock, "InferenceChild", ThreadChild)


@pytest.fixture
def hand(tmp_path, monkeypatch, qapp):
    """Return the hand of a new user, with settings of their own, in a window."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    monkeypatch.setattr(_npe2.pm, "instance", lambda: manager)
    manager.register(PluginManifest.from_file(PACKAGE / "napari.yaml"))
    monkeypatch.setattr(of_hand, "PATIENCE_S", PATIENCE_MS / 1000)
    with own_app():
        viewer = napari.Viewer(show=True)
        viewer.window.set_geometry(0, 0, 1280, 800)
        yield Hand(viewer)
        viewer.close()


def test_sample_is_reviewed_and_exported(hand, tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    sample = write_small_cine(package)
    monkeypatch.setattr(save, "PACKAGE", package)
    monkeypatch.setattr(sample_data, "CINE", sample)
    journeys.review_sample(hand, Camera(), tmp_path, quick=True)
    (file,) = tmp_path.glob("*_study/study.json")
    study = read_study(file.parent)
    assert study.review.count("accepted") == 2
    assert not np.array_equal(study.edited, study.prediction)  # by another answer
    (edited,) = (tmp_path / "export").glob("*_edited.nii.gz")
    assert np.array_equal(read_labels(edited).voxels, study.edited)
    assert read_labels(edited).geometry.same_grid(read_volume(sample).geometry)
    (numbers,) = (tmp_path / "export").glob("*_numbers.csv")
    rows = list(csv.DictReader(numbers.read_text(encoding="utf-8").splitlines()))
    assert {"LV EF", "LV EDV", "LV ESV", "LV mass"} <= {row["name"] for row in rows}
    assert list((tmp_path / "export").glob("*_report.html"))


def test_dicom_series_is_chosen_and_exported(no_child, hand, tmp_path):
    voxels = read_volume(CINE).voxels[[19, 6, 19], 3:7].astype(np.int16)  # ES is the second
    images = tmp_path / "DICOM"
    write_cine(images / "cine", voxels)
    write_cine(images / "again", voxels[:, 1:], series=6)
    journeys.export_dicom(hand, Camera(), images, tmp_path, quick=True)
    (file,) = tmp_path.glob("dicom-*/study.json")
    edited = read_study(file.parent).edited
    assert edited.shape == voxels.shape
    written = {file.name.rpartition("_")[2] for file in (tmp_path / "export").iterdir()}
    assert written == {"seg.dcm", "measurements.dcm", "numbers.csv"}
    for phase in (2, 3):
        (seg,) = (tmp_path / "export").glob(f"*_frame{phase:02d}_seg.dcm")
        assert np.array_equal(read_seg(seg).voxels, edited[phase - 1])
    assert not any(PATIENT in str(file) or NAME in str(file) for file in tmp_path.rglob("*"))


def test_a_study_goes_from_the_archive_and_back(no_child, hand, tmp_path):
    login, voxels = ("anna", "secret"), read_volume(CINE).voxels[[19, 6, 19], 3:7].astype(np.int16)
    write_cine(tmp_path / "sent", voxels, PatientName="Doe^Jane")
    users = {"AuthenticationEnabled": True, "RegisteredUsers": dict([login])}
    with run_orthanc(tmp_path / "orthanc", **users) as port:
        archive = Archive(f"http://{HOST}:{port}/dicom-web", login=login)
        drain(archive.store([*filter(Path.is_file, (tmp_path / "sent").rglob("*"))]))
        about = {"url": archive.url, "login": login, "name": "jane"}
        journeys.use_archive(hand, Camera(), tmp_path / "studies", **about, quick=True)
        (study,) = archive.find_studies()
    assert (study.series, study.images) == ("4", "15")  # the cine, two SEG and an SR
    kept = "".join(f.read_text("utf-8") for f in (tmp_path / "config").rglob("*.json"))
    assert "Research" in kept
    assert "secret" not in kept


def test_folder_is_segmented_and_its_worst_study_opened(hand, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        write_small_cine(tmp_path / "images" / name)
    results = tmp_path / "results"
    journeys.segment_folder(hand, Camera(), tmp_path / "images", results, quick=True)
    rows = list(csv.DictReader((results / "cohort.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2
    assert (results / "cohort.html").exists()
    studies = [read_study(file.parent) for file in results.rglob("study.json")]
    assert len(studies) == 2
    assert sum(study.review.current is not None for study in studies) == 1


def test_quick_look_trains_an_ensemble_to_segment_with(
    hand, hearts, trained_run, tmp_path, monkeypatch
):
    command = (sys.executable, "-c", TRAIN, str(trained_run))
    monkeypatch.setattr(
        training_dock, "TrainingWatch", lambda _, parent: TrainingWatch(command, parent=parent)
    )
    numbers = (("epochs", 6), ("iterations_per_epoch", 1), ("batch_size", 2))
    run = tmp_path / "run"
    segment = journeys.train(hand, Camera(), hearts, run, numbers=numbers)
    assert segment.ensemble.folder == find_ensemble(run)
    words = (run / "words").read_text(encoding="utf-8").splitlines()
    assert words[-1] == str(hearts)
    for name, number in numbers:
        assert words[words.index(f"--{name.replace('_', '-')}") + 1] == str(number)


def test_two_methods_are_evaluated(hand, tmp_path):
    for case in ("patient001", "patient002"):
        for number, method in enumerate(("multi", "vanilla")):
            write_answer(tmp_path / method, case, answer(number))
        write_reference(tmp_path / "labels", case, heart())
    name_labels(tmp_path / "labels")
    methods = [tmp_path / "multi", tmp_path / "vanilla"]
    journeys.evaluate(hand, Camera(), methods, tmp_path / "labels", tmp_path / "report")
    names = {file.name for file in (tmp_path / "report").iterdir()}
    assert {"report.html", "cases.csv", "summary.json"} <= names
