"""Every change of one entry of a JSON file is accepted, or refused in a sentence without content.

The changed files are read as `inspect`, `predict`, a review and a cohort do, up to the network.
What they hold is checked when it is read, so nothing that follows can fail because of it.
"""

from __future__ import annotations

import json
import math
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cohort.table import read_reports, study_row
from napari_bayes_nnunet.app.messages import (
    EpochDone,
    PhaseDone,
    SegmentImage,
    StudyDone,
    from_line,
)
from napari_bayes_nnunet.app.segmentation.calibration import chosen_temperature
from napari_bayes_nnunet.app.segmentation.inspection import inspection_json, inspection_text
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.app.training.run_state import JobInfo
from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_splits
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.files.json_files import parse_json
from napari_bayes_nnunet.io.study.info import STUDY_FILE, read_study_info
from napari_bayes_nnunet.io.study.patient import PATIENT_FILE, read_patient, write_patient
from napari_bayes_nnunet.io.study.review_state import REVIEW, read_review, write_review
from napari_bayes_nnunet.io.study.summary import summarise_study

from .helpers.checks.fuzzing import assert_read_or_refused, changes
from .helpers.data.models import made_image

WRITTEN = Path(__file__).parent / "fixtures" / "written_by_0_2_0"
FITTED = SegmentationSettings(temperature="fitted", members=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run with a cycle that was added on other data."""
    folder = tmp_path_factory.mktemp("changed") / "run"
    run = RunFolder(shutil.copytree(WRITTEN / "finished_run", folder))
    plans, record = (json.loads(file.read_text()) for file in (run.plans, run.record))
    del plans["configurations"]["3d_fullres"]
    run.plans.write_text(json.dumps(plans))
    fold = record["folds"]["0"]
    fold["added_cycles"] = [{"training_cases": ["p1"], "dataset": {"name": "b", "cases": {}}}]
    run.record.write_text(json.dumps(record))
    return run


@pytest.mark.parametrize("name", ["ensemble.json", CALIBRATION_FILE, "dataset.json", "plans.json"])
def test_changed_ensemble_is_read_or_refused(run: RunFolder, name: str) -> None:
    def read() -> None:
        folder = find_ensemble(run.path)
        inspection_text(folder)
        json.dumps(inspection_json(folder))
        chosen_temperature(folder, FITTED)
        record = read_record(run.record)
        for fold in record.folds:
            assert record.members(fold) or not record.is_complete(fold)
            assert record.training_cases(fold) is not None
            record.validation_cases(fold)
            assert record.trained_on(fold)["cases"] is not None

    assert_read_or_refused(run.path / name, read, quotes=True)


@pytest.mark.filterwarnings("ignore:Detected old nnU-Net plans format")
def test_changed_plans_are_read_or_refused(run: RunFolder) -> None:
    import torch

    from napari_bayes_nnunet.nnunet.inference import Predictor
    from napari_bayes_nnunet.nnunet.weights import expected_shapes

    image = made_image((2, 9, 8))[None]

    def read() -> None:
        folder = find_ensemble(run.path)
        parts = folder.plans, folder.dataset_json, folder.configuration
        expected_shapes(*parts)
        predictor = Predictor(*parts, device=torch.device("cpu"))
        weights = predictor.network.module.state_dict()
        prepared = predictor.prepare(image, (6.0, 5.0, 5.0))
        predictor.probabilities([prepared], weights, mirrors=[()])

    assert_read_or_refused(run.plans, read, examples=40, quotes=True)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return shutil.copytree(WRITTEN / "study" / "output" / "cine", tmp_path / "cine")


def test_changed_study_is_read_or_refused(study: Path) -> None:
    def read() -> None:
        info = read_study_info(study)
        summarise_study(study)
        json.dumps([info.quality, info.warnings, info.slices, info.method])
        assert info.quality is None or math.isfinite(info.quality)

    assert_read_or_refused(study / STUDY_FILE, read)


def test_changed_review_is_read_or_refused(study: Path, tmp_path: Path) -> None:
    def read() -> None:
        changed = read_review(study)
        assert changed is not None
        changed.count("flagged")
        write_review(tmp_path, changed)

    assert_read_or_refused(study / REVIEW, read)


def test_changed_patient_is_read_or_refused(study: Path) -> None:
    def read() -> None:
        problems: list[str] = []
        record = read_patient(study, case="cine", problems=problems)
        assert record.title
        assert record.values
        if problems:
            raise DataError("{problem}", problem=problems[0])

    whole = {"age": 66.0, "sex": "f", "height_cm": 170.0, "weight_kg": 60.0, "heart_rate": 60.0}
    write_patient(study, PatientRecord(name="Quux", birth="1957", files=("a.nii",), **whole))
    assert_read_or_refused(study / PATIENT_FILE, read)


def test_changed_report_is_read_or_refused(tmp_path: Path) -> None:
    file = Path(shutil.copy(WRITTEN / "cohort" / "output" / "first.json", tmp_path))
    assert_read_or_refused(file, lambda: study_row("a", "done", read_reports({1: file, 3: file})))


def test_changed_splits_are_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "splits_final.json"
    folds = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}]
    file.write_text(json.dumps(folds))
    assert_read_or_refused(file, lambda: read_splits(file, ["a", "b", "c"]), quotes=True)


MESSAGES = [
    SegmentImage(job=1, image="a", spacing=(1.0, 2.0, 3.0), folder="b", phases=[1, 2]),
    PhaseDone(job=1, phase=None, report={"volumes_ml": {"LV": 1.0}}),
    StudyDone(case="a", outcome="done", done=1, total=2, eta_seconds=3.5),
    EpochDone(
        fold="0",
        epoch=1,
        cycle=0,
        learning_rate=0.1,
        train_loss=0.5,
        val_loss=None,
        pseudo_dice={"LV": 0.5},
        seconds=1.0,
        eta_seconds=2.0,
        member=True,
    ),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_changed_message_is_read_or_refused(message: Any) -> None:
    @given(changes(json.loads(message.to_line())))
    def try_change(line: str) -> None:
        with suppress(AppError):
            found = from_line(line)
            assert from_line(found.to_line()) == found

    assert from_line(message.to_line()) == message
    try_change()


JOB = (WRITTEN / "run" / "job.json").read_text(encoding="utf-8")


@given(changes(json.loads(JOB)))
def test_changed_process_record_is_read_or_refused(text: str) -> None:
    assert parse_json(JOB, JobInfo).process(RunFolder(WRITTEN / "run")) is None  # elsewhere
    with suppress(ValueError):
        assert 0 < parse_json(text, JobInfo).pid < 2**31
