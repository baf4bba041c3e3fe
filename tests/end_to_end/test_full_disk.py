"""Tests of a disk that is full or read-only, on a file system of 50 MB and by injection."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import DISK_FULL
from napari_bayes_nnunet.app.review.dicom_export import export_session
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.segmentation.calibration import UNCALIBRATED
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.problems import Action
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.seg import read_seg
from napari_bayes_nnunet.io.files import atomic
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.search.folder_walk import COHORT
from napari_bayes_nnunet.io.study.info import is_study
from napari_bayes_nnunet.io.study.study import check_replaceable, open_study_lock, read_study
from napari_bayes_nnunet.io.study.usage_log import USE_LOG, read_use
from napari_bayes_nnunet.widgets.review import saver as study_saver
from napari_bayes_nnunet.widgets.review.saver import StudySaver

from ..helpers.data.cines import LV, WORST, make_cine, write_dicoms
from ..helpers.data.cohorts import run_here, write_volume
from ..helpers.data.models import make_model
from ..helpers.processes.small_disk import FullFrom, mounted_disk

STUDIES = 5


@pytest.fixture
def disk(tmp_path):
    with mounted_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    return Ensemble(make_model(tmp_path_factory.mktemp("model"), members=2), device="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(STUDIES):
        write_volume(folder / f"p{number}.nii.gz", seed=number)
    return folder


def predict(ensemble: Ensemble, *arguments: Any) -> tuple[int, str, str]:
    """Return exit code, output and errors of the command."""
    settings = ("--members", 2, "--mirroring", "none", "--device", "cpu")
    texts = map(str, ("predict", ensemble.folder.path, *arguments, *settings))
    done = CliRunner().invoke(main, list(texts))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.stdout, done.stderr


def check_whole(folder: Path) -> list[str]:
    """Return the cases with results, all of which must be whole; nothing else may be there.

    A new folder is removed if nothing could be written to it.
    """
    if not folder.exists():
        return []
    cases = sorted(file.stem for file in folder.glob("*.json"))
    labels = {file.name.removesuffix(".nii.gz") for file in folder.glob("*.nii.gz")}
    assert {name for name in labels if not name.endswith("_entropy")} == {*cases}
    for case in cases:
        read_labels(folder / f"{case}.nii.gz")
    for study in (file.parent for file in folder.glob("*/study.json")):
        assert read_study(study).problems == ()
    for unfinished in (path for path in folder.iterdir() if path.is_dir() and not is_study(path)):
        assert not [file for file in unfinished.rglob("*.n*z*") if file.is_file()]
        check_replaceable(unfinished)
    assert not list(folder.rglob(".writing-*"))
    return cases


def rows(folder: Path) -> dict[str, str]:
    """Return study → outcome of the table."""
    with (folder / COHORT).open(newline="", encoding="utf-8") as file:
        return {row["study"]: row["outcome"] for row in csv.DictReader(file)}


def assert_full(error: AppError, folder: Path) -> None:
    assert error.values["folder"] == folder
    assert error.statement.template == DISK_FULL


def test_disk_full_leaves_nothing_half_written(ensemble, images, tmp_path, monkeypatch):
    asked = {"save": frozenset({"study", "entropy", "probabilities"})}
    number, is_full = 0, True
    while is_full:
        number += 1
        output = tmp_path / f"out{number}"
        monkeypatch.setattr(atomic.os, "fsync", FullFrom(number))
        try:
            run_here(ensemble, [images / "p0.nii.gz"], output, **asked)
            is_full = False
        except AppError as error:
            assert_full(error, output)
        monkeypatch.undo()
        check_whole(output)
        if is_full and number % 4 == 0:
            run_here(ensemble, [images / "p0.nii.gz"], output, **asked, skip_finished=True)
            assert check_whole(output) == ["p0"]
            assert rows(output).keys() == {"p0"}
    assert number > 10


def test_command_on_full_disk_ends_with_one_sentence(ensemble, images, disk):
    files, output = sorted(images.iterdir()), disk.folder / "out"
    disk.fill(leaving=8192)
    code, told, errors = predict(ensemble, *files, "-o", output)
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert str(output) in errors
    done = check_whole(output)
    said = [line for line in told.splitlines() if not line.startswith(" ")]
    assert len(done) == len(said) < STUDIES
    disk.make_room()
    code, told, errors = predict(ensemble, *files, "-o", output, "--continue")
    assert (code, errors.splitlines()) == (0, [UNCALIBRATED])
    assert len(check_whole(output)) == STUDIES


def test_read_only_output_is_refused_before_segmenting(ensemble, images, disk):
    output = disk.folder / "out"
    output.mkdir()
    disk.make_read_only()
    for places in ([images], sorted(images.iterdir())):
        for folder in (output, disk.folder / "new"):
            code, told, errors = predict(ensemble, *places, "-o", folder)
            assert (code, told, errors.count("Error: ")) == (1, "", 1)
            assert str(folder) in errors.splitlines()[-1]


def test_edits_on_a_full_disk_are_kept(qapp, qtbot, disk, monkeypatch):
    study = make_cine(disk.folder / "heart")
    session = ReviewSession(read_study(study))
    monkeypatch.setattr(study_saver, "EVERY_MS", 30)
    saver = StudySaver(session, open_study_lock(study))
    before = read_labels(study / "edited.nii.gz").voxels
    disk.fill()
    labels = session.labels_in(WORST).copy()
    rng = np.random.default_rng(0)
    session.labels_in(WORST)[:] = rng.integers(0, LV + 1, labels.shape)
    session.note_change([WORST], tool="paint", before={WORST: labels})
    session.decide(WORST, "accepted")
    saver.note_change()
    with qtbot.waitSignal(saver.failed):
        saver.save()
    assert saver.has_unsaved
    with pytest.raises(DataError):
        saver.save_now()
    on_disk = read_study(study)
    assert np.array_equal(on_disk.edited, before)
    assert WORST not in on_disk.review.decisions
    disk.make_room()
    qtbot.waitUntil(lambda: not saver.has_unsaved)
    saver.close()
    on_disk = read_study(study)
    assert np.array_equal(on_disk.edited, session.labels)
    assert on_disk.review.decisions[WORST].state == "accepted"
    assert [row.tool for row in read_use(study / USE_LOG)] == ["paint", ""]


@pytest.mark.parametrize("written", [0, 1])
def test_dicom_export_on_full_disk_leaves_whole_files(written, tmp_path, monkeypatch):
    study = make_cine(tmp_path / "study", geometry=write_dicoms(tmp_path / "in"))
    session = ReviewSession(read_study(study))
    monkeypatch.setattr(atomic.os, "fsync", FullFrom(written + 1))
    with pytest.raises(DataError) as caught:
        export_session(session, tmp_path / "in", tmp_path / "out")
    assert Path(caught.value.values["file"]).parent == tmp_path / "out"
    assert [remedy.action for remedy in caught.value.remedies] == [Action.OTHER_OUTPUT]
    assert (tmp_path / "out").exists() == bool(written)
    for file in (tmp_path / "out").glob("*"):
        assert np.array_equal(read_seg(file).voxels, session.labels[session.phases[0] - 1])
