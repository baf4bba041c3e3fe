"""Whose heart a study shows: from the header into the study, and into nothing else."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.io.dicom.reader import read_dicom
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.io.study.patient import PATIENT_FILE
from napari_bayes_nnunet.io.study.review_state import ReviewState, write_review
from napari_bayes_nnunet.io.study.study import has_corrections, read_study, write_study
from tests.helpers.data.dicoms import write_cine
from tests.helpers.data.studies import made_image, made_info, made_posterior, make_study

DOE = PatientRecord(
    name="DOE^J", patient_id="47", birth="1957-05-02", age=66, sex="m", date="2024-03-12",
    series="cine SAX", height_cm=172, weight_kg=80.5, heart_rate=64,
)  # fmt: skip
KNOWN = Patient(sex="m", age=66, height_cm=172, weight_kg=80.5, heart_rate=64)


def make(folder: Path, record: PatientRecord | None = DOE) -> Path:
    image = made_image(folder.parent / "heart.nii.gz")
    write_study(folder, made_info(image), {None: made_posterior()}, patient=record)
    return folder


@pytest.mark.parametrize(
    ("entries", "title", "values"),
    [
        ({}, "Doe, Jane (MRN-4711) · 1950 F (70 y) · 2020-01-01 · CINE_SAX", (None, None, 60)),
        (
            {
                "PatientName": "Anonymous^^^", "PatientID": "Anonymous^^^", "PatientBirthDate": "",
                "PatientSex": "O", "PatientAge": "031Y", "StudyDate": "20120000",
                "SeriesDescription": "", "PatientSize": 1.72, "PatientWeight": 80.5,
                "HeartRate": 64,
            },
            "Anonymous · 31 y · 2012 · series 5",
            (172, 80.5, 64),
        ),
        (
            {
                "PatientName": "", "PatientBirthDate": "00000000", "PatientAge": "D",
                "PatientSex": None, "PatientSize": 0, "PatientWeight": 900, "StudyDate": "today",
                "NominalInterval": 750,
            },
            "MRN-4711 · CINE_SAX",
            (None, None, 80),
        ),
        (
            {"PatientBirthDate": "19500102", "PatientWeight": [70, 80]},  # the day before 70
            "Doe, Jane (MRN-4711) · 1950 F (69 y) · 2020-01-01 · CINE_SAX",
            (None, None, 60),
        ),
        (  # the age by the dates counts, unless no human has it
            {"PatientBirthDate": "20300101", "PatientAge": "020Y"},
            "Doe, Jane (MRN-4711) · 2030 F · 2020-01-01 · CINE_SAX",
            (None, None, 60),
        ),
        (
            {"PatientAge": "020Y"},
            "Doe, Jane (MRN-4711) · 1950 F (70 y) · 2020-01-01 · CINE_SAX",
            (None, None, 60),
        ),
        (
            {"PatientBirthDate": "", "PatientAge": "999Y"},
            "Doe, Jane (MRN-4711) · F · 2020-01-01 · CINE_SAX",
            (None, None, 60),
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_header_says_whose_heart_it_is(tmp_path, entries, title, values):
    write_cine(tmp_path / "in", series=5, ManufacturerModelName="Model 1", **entries)
    record = read_dicom(tmp_path / "in").patient
    assert (record.title, record.scanner) == (title, "made Model 1")
    height, weight, rate = values
    known = {"height_cm": height, "weight_kg": weight, "heart_rate": rate}
    years = re.search(r"(\d+) y", title)
    assert record.values == Patient(sex=record.sex, age=years and int(years[1]), **known)


def test_nifti_is_named_by_its_whole_file(tmp_path):
    image = made_image(tmp_path / "patient001_frame01_0000.nii.gz")
    first = read_volume(image).patient
    assert first.title == "patient001_frame01_0000.nii.gz"
    other = PatientRecord(files=("b.nii",))
    assert first.joined_with(other).title == "patient001_frame01_0000.nii.gz + b.nii"


def test_record_is_kept_for_its_owner_only(tmp_path):
    folder = make(tmp_path / "study")
    assert stat.S_IMODE((folder / PATIENT_FILE).stat().st_mode) == 0o600
    assert read_study(folder).patient == DOE
    (folder / PATIENT_FILE).chmod(0o644)  # as an unpacked archive has it
    make(folder)
    assert stat.S_IMODE((folder / PATIENT_FILE).stat().st_mode) == 0o600
    make(folder, None)  # of another image, without a header
    assert not (folder / PATIENT_FILE).exists()


def test_study_without_record_is_named_by_its_case(tmp_path):
    study = read_study(make_study(tmp_path / "study"))
    assert (study.patient.title, study.problems) == ("heart", ())
    assert study.review.patient == Patient()


def test_header_that_names_nobody_leaves_the_case(tmp_path):
    nobody = replace(DOE, name="", patient_id="")
    assert read_study(make(tmp_path / "study", nobody)).patient == replace(nobody, files=("heart",))


@pytest.mark.parametrize("text", ["{", '{"format": 1, "name": 5}', '{"format": 99}'])
def test_damaged_record_is_said_and_the_study_opens(tmp_path, text):
    folder = make(tmp_path / "study")
    (folder / PATIENT_FILE).write_text(text)
    study = read_study(folder)
    assert study.patient.title == "heart"
    assert [PATIENT_FILE in problem for problem in study.problems] == [True]


def test_first_opening_takes_the_values_of_the_header(tmp_path):
    folder = make(tmp_path / "study")
    assert read_study(folder).review.patient == KNOWN
    write_review(folder, read_study(folder).review)
    assert not has_corrections(folder)  # nobody has entered anything
    for changed in (Patient(height_cm=180, weight_kg=80.5), Patient()):
        write_review(folder, ReviewState(patient=changed))
        assert read_study(folder).review.patient == changed
        assert has_corrections(folder)


def test_record_of_a_newer_version_is_read(tmp_path):
    folder = make(tmp_path / "study")
    content = json.loads((folder / PATIENT_FILE).read_text())
    (folder / PATIENT_FILE).write_text(json.dumps({**content, "diagnosis": "?"}))
    assert read_study(folder).patient == DOE
