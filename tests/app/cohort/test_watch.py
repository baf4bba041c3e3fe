"""A watch of a real Orthanc, whose new studies become part of a cohort and go back."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from napari_bayes_nnunet.app.cohort import watch
from napari_bayes_nnunet.app.cohort.run import CohortRequest
from napari_bayes_nnunet.app.cohort.terminal import INTERRUPTED
from napari_bayes_nnunet.app.cohort.watch import IMAGES, OUTGOING, SENT, ArchiveWatch
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.archive import NO_ANSWER, Archive
from napari_bayes_nnunet.io.dicom.files import make_pseudonym
from napari_bayes_nnunet.io.study.review_state import write_review
from napari_bayes_nnunet.io.study.study import open_study_lock, read_study

from ...helpers.data.cines import ED, accept, make_cine
from ...helpers.data.cohorts import made_request, segment_here, write_dicom_study
from ...helpers.data.dicoms import AXIAL, made_voxels, slice_file
from ...helpers.data.models import make_model
from ...helpers.processes.clusters import cluster
from ...helpers.processes.orthanc import HOST, run_orthanc
from ...io.test_archive import files_in

ASKED = ("--members", 2, "--mirroring", "none", "--device", "cpu", "--window", "whole")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as port:
        yield Archive(f"http://{HOST}:{port}/dicom-web")


def store(archive: Archive, folder: Path, name: str, **entries: Any) -> str:
    """Store a cine of 12 images and return its pseudonym."""
    study = write_dicom_study(folder / name, name=name, PatientID=name, **entries)
    drain(archive.store(files_in(folder / name)))
    return make_pseudonym(study)


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "cohort.csv").open(encoding="utf-8", newline="") as file:
        return {row["study"]: row for row in csv.DictReader(file)}


def test_new_cines_are_segmented_and_stored_once(
    archive, tmp_path, warm_command, monkeypatch, capsys
):
    model, output = make_model(tmp_path / "model", members=2), tmp_path / "out"
    first = store(archive, tmp_path, "first")
    scout = {"StudyInstanceUID": generate_uid(), "PatientID": "scout"}
    scout |= {"ImageOrientationPatient": AXIAL}
    drain(archive.store([slice_file(tmp_path / "s.dcm", made_voxels()[0, 0], **scout)]))
    asked = ("archive", "watch", archive.url, "-o", output, "--ensemble", model, "--once")
    asked += ("--store-back", "--phases", "all", *ASKED)
    done = warm_command.run(*asked, folder=tmp_path)
    assert done.code == 1, done.errors  # the scout failed
    table = rows(output)
    other = make_pseudonym(scout["StudyInstanceUID"])
    assert {name: row["outcome"] for name, row in table.items()} == {first: "done", other: "failed"}
    assert table[other]["failure"]
    (study,) = archive.find_studies(patient="first")
    stored = files_in(output / first / SENT)
    described = {pydicom.dcmread(file).SeriesDescription for file in stored if "seg" in file.name}
    assert len(described) == 3
    assert all("unreviewed" in text for text in described)
    images = int(study.images)
    assert images == 12 + sum(file.suffix == ".dcm" for file in stored)
    # A kill before the last note of an export, and before the row of a study.
    (output / first / SENT).rename(output / first / OUTGOING)
    second = store(archive, tmp_path, "second")
    drain(archive.fetch(archive.find_studies(patient="second")[0].uid, output / IMAGES / second))
    fetched = {file: file.stat().st_mtime_ns for file in files_in(output / IMAGES)}
    again = watch_here(archive, tmp_path, monkeypatch)
    assert again.look() == 0
    assert set(rows(output)) == {first, second, other}
    assert (output / second / SENT).exists()
    assert {file: file.stat().st_mtime_ns for file in files_in(output / IMAGES)} == fetched
    (study,) = archive.find_studies(patient="first")
    assert int(study.images) == images
    capsys.readouterr()
    assert again.look() == 0
    assert capsys.readouterr().out == ""


def watch_here(
    archive: Archive, folder: Path, monkeypatch: pytest.MonkeyPatch, dates: str = ""
) -> ArchiveWatch:
    """Return a watch that segments in this process, as the command does with what is asked."""
    ensemble = Ensemble(folder / "model")
    settings = SegmentationSettings(members=2, mirroring="none", device="cpu", window="whole")

    def run(request: CohortRequest, **_: Any) -> int:
        done = segment_here(ensemble, request)
        return int(any(study.outcome == "failed" for study in done))

    monkeypatch.setattr(watch, "run_in_terminal", run)
    asked = {"settings": settings, "skip_finished": True, "phases": "all"}
    request = made_request(ensemble, (), folder / "out", **asked)
    return ArchiveWatch(archive, request, dates=dates, stores=True)


@pytest.fixture
def made(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveWatch:
    """Return a watch for the studies of one day, which segments nothing."""
    monkeypatch.setattr(watch, "run_in_terminal", lambda request, **_: 0)
    prediction = PredictionRequest(images=(), output=tmp_path / "out")
    request = CohortRequest(ensemble=tmp_path, prediction=prediction)
    return ArchiveWatch(archive, request, dates="20300101")


def test_a_study_that_is_being_sent_is_left_alone(made, archive, tmp_path):
    about = {"StudyInstanceUID": generate_uid(), "StudyDate": "20300101"}
    name = store(archive, tmp_path, "grows", **about)
    folder = tmp_path / "out" / IMAGES / name
    made.look(waits=True)
    who = {**about, "PatientID": "grows", "series": 9}
    drain(archive.store([slice_file(tmp_path / "late.dcm", made_voxels()[0, 0], **who)]))
    made.look(waits=True)
    assert not folder.exists()
    made.look(waits=True)
    assert len(files_in(folder)) == 13


def test_a_study_that_had_half_arrived_is_made_again(archive, tmp_path, monkeypatch):
    """The rest arrives after SEG and SR of the half, which alone are no reason to begin again."""
    make_model(tmp_path / "model", members=2)
    made, output = watch_here(archive, tmp_path, monkeypatch, "20310101"), tmp_path / "out"
    about = {"name": "half", "PatientID": "half", "StudyDate": "20310101"}
    study = write_dicom_study(tmp_path / "half", **about)
    case, files = make_pseudonym(study), files_in(tmp_path / "half")
    first = [file for file in files if int(file.name[-2]) < 3]  # three of four slices

    def slices_after_look() -> int:
        assert made.look() == 0
        return len(read_study(output / case / case).prediction[0])

    drain(archive.store(first))
    assert slices_after_look() == 3
    written = (output / case / case / "study.json").stat().st_mtime_ns
    assert slices_after_look() == 3
    assert (output / case / case / "study.json").stat().st_mtime_ns == written
    drain(archive.store([file for file in files if file not in first]))
    assert slices_after_look() == 4
    assert rows(output)[case]["outcome"] == "done"
    assert not files_in(output / case / OUTGOING)
    assert files_in(output / case / SENT)


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_study_that_grows_under_a_reader_stays(made, archive, tmp_path, capsys, is_saved):
    patient = f"read{is_saved}"
    name = store(archive, tmp_path, patient, StudyInstanceUID=generate_uid(), StudyDate="20300101")
    made.look()
    (entry,) = (one for one in archive.find_studies() if one.patient.patient_id == patient)
    study = make_cine(tmp_path / "out" / name / name)
    if is_saved:
        session = ReviewSession(read_study(study))
        accept(session, (ED, 2))
        write_review(study, session.state)
    else:
        lock = open_study_lock(study)  # as a window does, which saves later
    about = {"StudyInstanceUID": entry.uid, "StudyDate": "20300101", "PatientID": patient}
    late = slice_file(tmp_path / "late.dcm", made_voxels()[0, 0], series=9, **about)
    drain(archive.store([late]))
    for _ in range(2):
        made.look()
    assert capsys.readouterr().err.splitlines() == [f"{name}: {watch.GREW_IN_REVIEW}"]
    assert len(files_in(tmp_path / "out" / IMAGES / name)) == 12
    assert (study / "study.json").exists()
    if not is_saved:
        lock.release()


def test_a_watch_goes_on_when_the_archive_is_away(made, tmp_path, monkeypatch, capsys):
    looks: list[int] = []

    def look(**_: object) -> int:
        looks.append(1)
        if len(looks) == 1:
            raise DataError(NO_ANSWER, url="there")
        return INTERRUPTED

    monkeypatch.setattr(made, "look", look)
    assert made.run(interval=0) == INTERRUPTED
    assert len(looks) == 2
    assert "there" in capsys.readouterr().err


def test_work_of_a_reader_is_not_stored_as_unreviewed(made, capsys) -> None:
    study = make_cine(made.request.prediction.output / "case" / "case")
    session = ReviewSession(read_study(study))
    accept(session, (ED, 2))
    write_review(study, session.state)
    assert made._store("case") == 1
    assert capsys.readouterr().err.splitlines() == [f"case: {watch.HAS_WORK}"]
    assert not (study.parent / watch.OUTGOING).exists()


def test_new_cines_go_to_the_workers_of_a_scheduler(archive, tmp_path, warm_command):
    name = store(archive, tmp_path, "far", StudyDate="20320101")
    model, output = make_model(tmp_path / "model", members=2), tmp_path / "out"
    with cluster(tmp_path / "cluster", warm=warm_command) as made:
        made.add_workers(1)
        asked = ("-o", output, "--ensemble", model, "--once", "--date", "20320101")
        asked += ("--scheduler", made.address, *ASKED)
        done = warm_command.run("archive", "watch", archive.url, *asked, folder=tmp_path)
        assert done.code == 0, done.errors
        assert "TaskState 'study-" in made.logs
    assert rows(output)[name]["outcome"] == "done"
