"""Export of a reviewed study as DICOM."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import dcmread

from napari_bayes_nnunet import __version__
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import FOUND_AMONG_CHOSEN
from napari_bayes_nnunet.app.review.accepted_slices import (
    count_accepted,
    describe_open_slices,
    sum_accepted,
)
from napari_bayes_nnunet.app.review.dicom_export import (
    ALGORITHM,
    FOUND_IN,
    NOT_COMPARABLE,
    export_session,
)
from napari_bayes_nnunet.app.review.export import export_review
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.editing.closed_curve import join_holes
from napari_bayes_nnunet.core.editing.smooth_contours import smooth_contours
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import read_dicom, read_stacks
from napari_bayes_nnunet.io.dicom.seg import MAKER, read_seg
from napari_bayes_nnunet.io.heart.normal_ranges import read_normal_ranges
from napari_bayes_nnunet.io.images.nifti import write_labels
from napari_bayes_nnunet.io.study.review_state import write_review
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.checks.problems import says, says_only
from ...helpers.data.cines import ED, ES, LV, accept, image_of, make_cine, write_dicoms
from ...helpers.data.dicoms import TO_APEX

CASE = "dicom-1234"
ALL = slice(None)
RULE = IntervalRule(bias=0.0, half_width_80=3.0, half_width_90=5.0, patients=16)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write the DICOM folder that the study is made from."""
    write_dicoms(tmp_path / "in" / "Doe", series_per_slice=True)
    return tmp_path / "in" / "Doe"


@pytest.fixture
def study(images: Path, tmp_path: Path) -> Path:
    """Write a study of two of four phases, with one corrected slice."""
    geometry = read_dicom(images).geometry
    folder = make_cine(tmp_path / "study", geometry=geometry, case=CASE, ed=ED, es=ES)
    edited = read_study(folder).edited
    edited[ED - 1, 2, :5, :5] = LV
    write_labels(folder / "edited.nii.gz", edited, geometry)
    return folder


def test_labels_and_numbers_are_exported(study, images, tmp_path) -> None:
    session = ReviewSession(read_study(study))
    files = export_session(session, images, tmp_path / "out")
    assert [file.name for file in files] == [
        f"{CASE}_frame01_seg.dcm",
        f"{CASE}_frame03_seg.dcm",
        f"{CASE}_measurements.dcm",
        f"{CASE}_numbers.csv",
    ]
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


def test_files_carry_patient_and_study_of_the_images(tmp_path) -> None:
    about = {
        "PatientAge": "070Y", "PatientSize": 1.7, "PatientWeight": 70.5,
        "IssuerOfPatientID": "Hospital", "StudyDescription": "Cardiac", "PatientSex": None,
    }  # fmt: skip
    geometry = write_dicoms(tmp_path / "in", **about)
    folder = make_cine(tmp_path / "study", geometry=geometry, ed=ED, es=ES)
    files = export_session(ReviewSession(read_study(folder)), tmp_path / "in", tmp_path / "out")
    source = next(file for file in (tmp_path / "in").rglob("IM*"))
    names = (
        *("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate"),
        *("StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", *about),
    )
    for file in (file for file in files if file.suffix == ".dcm"):
        written, known = dcmread(file), dcmread(source)
        known.PatientSex = ""  # required, even if it is not known
        assert {n: written[n].value for n in names} == {n: known[n].value for n in names}


def test_command_lists_the_files_and_notes_open_slices(study, images, tmp_path) -> None:
    arguments = ["export-dicom", str(study), str(images), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 4
    session = ReviewSession(read_study(study))
    assert done.stderr.strip() == describe_open_slices(session)
    accept(session, ED, ES)
    write_review(study, session.state)
    assert not CliRunner().invoke(main, arguments).stderr


def test_command_writes_label_maps_and_contours(study, images, tmp_path) -> None:
    arguments = ["export-dicom", str(study), str(images), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*arguments, "--labelmap", "--contours"])
    assert done.exit_code == 0, done.output
    files = [Path(line) for line in done.stdout.splitlines()]
    names = [f"{CASE}_frame0{phase}_contours.dcm" for phase in (ED, ES)]
    assert [file.name for file in files[2:4]] == names
    label_map, contours = dcmread(files[0]), dcmread(files[2])
    assert label_map.SegmentationType == "LABELMAP"
    assert contours.SeriesDescription == label_map.SeriesDescription
    session = ReviewSession(read_study(study))
    posterior = session.study.posteriors[ED]
    slices = [
        smooth_contours(plane, [1, 2, 3], posterior.plane_at((z, ALL, ALL)))
        for z, plane in enumerate(session.labels[ED - 1])
    ]
    found = [len(roi.ContourSequence) for roi in contours.ROIContourSequence]
    assert found == [sum(len(join_holes(s[label])) for s in slices) for label in (1, 2, 3)]


def test_command_compares_with_a_set_of_ranges(study, images, tmp_path) -> None:
    state = read_study(study).review
    write_review(study, replace(state, patient=Patient(sex="m"), papillary_as_muscle=False))
    site = tmp_path / "site.csv"
    head = "source,Site\npapillary muscles,blood\nquantity,unit,sex,kind,low,high,mean,sd\n"
    site.write_text(f"{head}LV EDV,mL,m,95 % interval,1,2,,\n")

    def compared(name: str, *options: str) -> tuple[str, str]:
        arguments = ["export-dicom", str(study), str(images), "-o", str(tmp_path / name), *options]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        with (tmp_path / name / f"{CASE}_numbers.csv").open(newline="") as stream:
            row = next(csv.DictReader(stream))
        return row["compared_with"], row["verdict"]

    assert compared("usual") == ("Men: 93 to 232 mL (abnormal beyond).", "low")
    assert compared("own", "--normal-ranges", str(site)) == (
        "Men: 1 to 2 mL (95 % interval).",
        "high",
    )
    assert compared("without", "--normal-ranges", "none") == ("", "")
    write_review(study, replace(state, papillary_as_muscle=True))
    assert compared("muscle")[0].startswith("Papillary muscles as muscle: ")


def test_descriptions_say_what_was_accepted(study, images, tmp_path) -> None:
    session = ReviewSession(read_study(study))
    session.decide((ED, 0), "accepted")
    *labels, report, _ = export_session(session, images, tmp_path / "out")
    counts = count_accepted(session, session.phases)
    for file, phase in zip(labels, (ED, ES), strict=True):
        header = dcmread(file)
        assert header.ContentDescription == str(counts[phase])
        assert header.SeriesDescription.split(" · ")[1] == str(counts[phase])
    header = dcmread(report)
    assert header.CompletionFlag == "PARTIAL"
    assert header.CompletionFlagDescription == f"DRAFT, {sum_accepted(counts)}"
    accept(session, ED, ES)
    *_, report, _ = export_session(session, images, tmp_path / "all")
    assert dcmread(report).CompletionFlag == "COMPLETE"


FLAGGED = f"Phase {ES} (ES), slice 2", "flagged. Trabekel – zu prüfen"


def test_sr_says_what_the_report_says(study, images, tmp_path) -> None:
    session = ReviewSession(read_study(study))
    session.numbers.rules = {"LV EF": RULE}
    session.ranges = read_normal_ranges("petersen2017")
    session.change(patient=Patient(sex="m", age=60), reader="Anna Berg")
    session.decide((ED, 0), "accepted")
    session.comment_on((ES, 1), "Trabekel – zu prüfen")
    *_, file, _ = export_session(session, images, tmp_path / "out")
    queue = session.queue(session.scores())
    _, _, page = export_review(session, None, tmp_path / "report", queue=queue)
    report = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text("utf-8"))))
    texts = [one.value for one in dcmread(file).iterall() if one.keyword == "TextValue"]
    decisions = [text.split(": ", 1) for text in texts if text.startswith("Phase")]
    assert decisions == [[f"Phase {ED} (ED), slice 1", "accepted"], [*FLAGGED]]
    assert all(part in report for part in (FLAGGED[0], *FLAGGED[1].split(". ")))
    said = [text for text in texts if not re.match(r"\d{4}-|Phase", text)]  # but the time of both
    sentences = [part for text in said for part in re.split(r"(?<=\.) (?=Open|Women)", text)]
    (interval,) = (part for part in sentences if part.startswith("90 % interval: "))
    assert interval[len("90 % interval: ") : -1] in report
    assert "90 % interval" in report
    no_sentence = re.compile(rf"LV|RV|AHA \d+ E[DS]|{MAKER}|{re.escape(ALGORITHM)}.*|\d[.\d]*")
    of_numbers = "Open slices: ", "90 % interval: "
    others = [part for part in sentences if not part.startswith(of_numbers)]
    others = [part for part in others if not no_sentence.fullmatch(part)]
    assert {"read by Anna Berg", f"ED is phase {ED}"} <= {*others}
    assert any(part.startswith("Men: ") for part in others)
    assert [part for part in others if part not in report] == []


def test_series_of_end_diastole_comes_first(images, tmp_path) -> None:
    geometry = read_dicom(images).geometry
    folder = make_cine(tmp_path / "study", geometry=geometry, phases=(1, 2, 3), ed=3, es=1)
    *labels, _, _ = export_session(ReviewSession(read_study(folder)), images, tmp_path / "out")
    headers = [dcmread(file) for file in labels]
    assert [file.name[-16:] for file in labels] == [f"_frame0{n}_seg.dcm" for n in (3, 1, 2)]
    assert [header.SeriesNumber for header in headers] == [9001, 9002, 9003]
    phases = [header.SeriesDescription.split(" · ")[0] for header in headers]
    assert phases == ["ED, phase 3 of 4", "ES, phase 1 of 4", "phase 2 of 4"]


def test_phases_outside_the_queue_count_as_open(images, tmp_path) -> None:
    geometry = read_dicom(images).geometry
    folder = make_cine(tmp_path / "study", geometry=geometry, phases=(1, 2, 3), ed=ED, es=ES)
    session = ReviewSession(read_study(folder))
    accept(session, ED, ES)
    accepted = sum_accepted(count_accepted(session, session.phases))
    assert accepted.still_open == accepted.total - 2 * session.slices > 0
    assert describe_open_slices(session) == ""
    assert str(accepted.total) in describe_open_slices(session, session.phases)


def test_output_folder_and_images_are_checked(study, images, tmp_path) -> None:
    session = ReviewSession(read_study(study))
    before = sorted(images.rglob("*"))
    with pytest.raises(AppError, check=says_only(folder=images, contents="images")):
        export_session(session, images, images)
    assert sorted(images.rglob("*")) == before
    write_dicoms(tmp_path / "other", seed=2)
    with pytest.raises(DataError) as caught:
        export_session(session, tmp_path / "other", tmp_path / "out")
    assert caught.value.values["case"] == CASE
    assert caught.value.values["expected"] == read_study(study).info.geometry
    image_of(study).unlink()
    with pytest.raises(DataError, check=says(NOT_COMPARABLE)):
        export_session(ReviewSession(read_study(study)), images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_voxel_size_given_by_hand_fits_the_images(images, tmp_path) -> None:
    stored = read_dicom(images).geometry
    geometry = replace(stored, given_spacing=(10.0, 1.5, 1.25))
    folder = make_cine(tmp_path / "study", geometry=geometry, ed=ED, es=ES)
    session = ReviewSession(read_study(folder))
    assert session.study.info.geometry.given_spacing is not None
    file, *_ = export_session(session, images, tmp_path / "out")
    assert read_seg(file).geometry.same_grid(stored.frame())


def test_labels_that_cannot_be_read_back_are_removed(study, images, tmp_path) -> None:
    for stack in read_stacks(images):
        for number, of_slice in enumerate(stack.slices):
            file = of_slice[ES - 1].file
            image = dcmread(file)
            shift = 0.09 * (-1) ** number * TO_APEX  # the slices of this phase only
            image.ImagePositionPatient = [*map(float, image.ImagePositionPatient + shift)]
            image.save_as(file)
    with pytest.raises(DataError, check=says(file=f"{CASE}_frame03_seg.dcm")):
        export_session(ReviewSession(read_study(study)), images, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"{CASE}_frame01_seg.dcm"]


def test_numbers_say_among_how_many_phases_ed_and_es_are(images, tmp_path) -> None:
    how = {"ed": ED, "es": ES, "phases_from": FOUND_AMONG_CHOSEN}
    folder = make_cine(tmp_path / "study", geometry=read_dicom(images).geometry, **how)
    session = ReviewSession(read_study(folder))
    for among in (2, 0):
        *_, report, table = export_session(session, images, tmp_path / str(among))
        with table.open(encoding="ascii", newline="") as stream:
            assert {row["among_phases"] for row in csv.DictReader(stream)} == {str(among or "")}
        description = dcmread(report).CompletionFlagDescription
        assert description.endswith(FOUND_IN.format(2)) == bool(among)
        session.change(ed=ES, es=ED)  # by the reader
