"""Tests of the journeys of the docs by mouse and keys, from the first click to the files."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.pictures.camera import LARGEST_BYTES, small_png
from PIL import Image

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.archive import Archive
from napari_bayes_nnunet.io.dicom.seg import read_seg
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.sample_data import CINE

from ..helpers.data.dicoms import NAME, PATIENT, write_cine
from ..helpers.data.evaluations import answer, heart, name_labels, write_answer, write_reference
from ..helpers.data.sample import write_small_cine
from ..helpers.processes.command import environment
from ..helpers.processes.orthanc import HOST, run_orthanc

HAS_DISPLAY = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not HAS_DISPLAY, reason="needs a display or Xvfb"
)


def go(journey: str, folder: Path, *arguments: Any, **options: Any) -> None:
    """Go on a journey in a window of its own, as a new user with settings in ``folder``."""
    given = json.dumps(arguments, default=str), json.dumps(options)
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.windows.journey_driver", journey, *given],
        cwd=Path(__file__).parents[2],
        env={
            **environment(),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "NAPARI_CONFIG": str(folder / "napari.yaml"),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_sample_is_reviewed_and_exported(tmp_path):
    (tmp_path / "package").mkdir()
    sample = write_small_cine(tmp_path / "package")
    go("review_sample", tmp_path, tmp_path, quick=True)
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


def test_dicom_series_is_chosen_and_exported(tmp_path):
    voxels = read_volume(CINE).voxels[[19, 6], 3:7].astype(np.int16)  # ED and ES
    images = tmp_path / "DICOM"
    write_cine(images / "cine", voxels)
    write_cine(images / "again", voxels[:, 1:], series=6)
    go("export_dicom", tmp_path, images, tmp_path, quick=True)
    (file,) = tmp_path.glob("dicom-*/study.json")
    edited = read_study(file.parent).edited
    assert edited.shape == voxels.shape
    written = {file.name.rpartition("_")[2] for file in (tmp_path / "export").iterdir()}
    assert written == {"seg.dcm", "measurements.dcm", "numbers.csv"}
    for phase in (1, 2):
        (seg,) = (tmp_path / "export").glob(f"*_frame{phase:02d}_seg.dcm")
        assert np.array_equal(read_seg(seg).voxels, edited[phase - 1])
    assert not any(PATIENT in str(file) or NAME in str(file) for file in tmp_path.rglob("*"))


def test_a_study_goes_from_the_archive_and_back(tmp_path):
    login, voxels = ("anna", "secret"), read_volume(CINE).voxels[[19, 6], 3:7].astype(np.int16)
    write_cine(tmp_path / "sent", voxels, PatientName="Doe^Jane")
    users = {"AuthenticationEnabled": True, "RegisteredUsers": dict([login])}
    with run_orthanc(tmp_path / "orthanc", **users) as port:
        archive = Archive(f"http://{HOST}:{port}/dicom-web", login=login)
        drain(archive.store([*filter(Path.is_file, (tmp_path / "sent").rglob("*"))]))
        about = {"url": archive.url, "login": login, "name": "jane"}
        go("use_archive", tmp_path, tmp_path / "studies", **about, quick=True)
        (study,) = archive.find_studies()
    assert (study.series, study.images) == ("4", "11")  # the cine, two SEG and an SR
    kept = "".join(f.read_text("utf-8") for f in (tmp_path / "config").rglob("*.json"))
    assert "Research" in kept
    assert "secret" not in kept


def test_folder_is_segmented_and_its_worst_study_opened(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        write_small_cine(tmp_path / "images" / name)
    results = tmp_path / "results"
    go("segment_folder", tmp_path, tmp_path / "images", results, quick=True)
    rows = list(csv.DictReader((results / "cohort.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2
    assert (results / "cohort.html").exists()
    studies = [read_study(file.parent) for file in results.rglob("study.json")]
    assert len(studies) == 2
    assert sum(study.review.current is not None for study in studies) == 1


def test_quick_look_trains_an_ensemble_to_segment_with(hearts, tmp_path):
    numbers = (("epochs", 6), ("iterations_per_epoch", 1), ("batch_size", 2))
    go("train", tmp_path, hearts, tmp_path / "run", numbers=numbers)
    ensemble = find_ensemble(tmp_path / "run")
    assert [member.epoch for member in ensemble.usable_members] == [1, 3, 5]


def test_two_methods_are_evaluated(tmp_path):
    for case in ("patient001", "patient002"):
        for number, method in enumerate(("multi", "vanilla")):
            write_answer(tmp_path / method, case, answer(number))
        write_reference(tmp_path / "labels", case, heart())
    name_labels(tmp_path / "labels")
    methods = [tmp_path / "multi", tmp_path / "vanilla"]
    go("evaluate", tmp_path, methods, tmp_path / "labels", tmp_path / "report")
    names = {file.name for file in (tmp_path / "report").iterdir()}
    assert {"report.html", "cases.csv", "summary.json"} <= names


def test_pictures_are_small_and_keep_the_colours_of_lines():
    rng = np.random.default_rng(1)
    pixels = np.repeat(rng.integers(0, 256, (300, 400, 1), np.uint8), 3, axis=2)
    line = (86, 180, 233)
    pixels[100:102] = line
    written = small_png(pixels)
    assert len(written) <= LARGEST_BYTES
    with Image.open(io.BytesIO(written)) as image:
        assert (np.asarray(image.convert("RGB"))[100:102] == line).all()
