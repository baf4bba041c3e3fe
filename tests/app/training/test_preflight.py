"""Preflight of a training."""

import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from napari_bayes_nnunet.app.report.output_folder import OUTPUT_IS_INPUT
from napari_bayes_nnunet.app.training import preflight
from napari_bayes_nnunet.app.training.preflight import (
    OUTPUT_BELOW_FILE,
    UNUSED_CASES,
    assess_request,
    check_cases,
)
from napari_bayes_nnunet.app.training.request import EVERY_CASE, TrainingRequest
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.core.problems import Action, Remedy, change, statement
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT
from napari_bayes_nnunet.io.dataset.raw_dataset import (
    TOO_FEW_PATIENTS,
    Split,
    read_dataset,
    splits_to_json,
)
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record

from ...helpers.data.hearts import SHAPE, make_dataset, write_nifti

ACDC = Path(__file__).parents[4] / "shared" / "data" / "acdc"
PLENTY = 10**12
TEN = [f"patient{patient:03d}_frame{frame:02d}" for patient in range(1, 6) for frame in (1, 2)]


@pytest.fixture
def data(tmp_path):
    """Five patients with two frames each."""
    return make_dataset(tmp_path / "data", patients=5, frames=2)


def ask(data, **changes):
    return TrainingRequest(**{"dataset": data, "output": data.parent / "run", **changes})


def finish(steps):
    """Return the result of a generator and all yielded values."""
    yielded = []
    return drain(steps, yielded.append), yielded


def judge(request, *, free=PLENTY):
    dataset = read_dataset(request.dataset)
    checks = drain(check_cases(dataset))
    with patch.object(preflight, "free_bytes", lambda output: free):
        return assess_request(request, dataset, checks)


def only(problems):
    (problem,) = problems
    return problem


def write_splits(file, *splits):
    file.write_text(json.dumps(splits_to_json([Split(*map(tuple, split)) for split in splits])))
    return file


# All of it


def test_a_good_dataset_is_ready(data):
    dataset = read_dataset(data)
    checks, progress = finish(check_cases(dataset))
    assert progress == [(done, 10) for done in range(11)]
    preflight = assess_request(ask(data), dataset, checks)
    assert preflight.all_problems == ()
    assert preflight.ready
    assert preflight.dataset == dataset
    assert (preflight.fold, preflight.pattern) == ("0", DEFAULT_PATIENT)
    assert len(preflight.splits) == 5
    assert preflight.split_file is None
    assert [row.check.name for row in preflight.rows] == TEN
    assert [row.patient for row in preflight.rows] == [name[:10] for name in TEN]
    uses = {row.patient: row.use for row in preflight.rows}
    assert sorted(uses.values()) == [*["training"] * 4, "validation"]
    assert preflight.disk.free_bytes > 0


def test_nothing_is_written(data):
    judge(ask(data))
    assert not (data.parent / "run").exists()


def test_it_can_be_stopped_between_cases(data, monkeypatch):
    looked_at = []
    monkeypatch.setattr(
        "napari_bayes_nnunet.app.training.preflight.check_case",
        lambda dataset, case: looked_at.append(case.name),
    )
    steps = check_cases(read_dataset(data))
    assert [next(steps) for _ in range(3)] == [(0, 10), (1, 10), (2, 10)]
    steps.close()
    assert looked_at == TEN[:2]
    with pytest.raises(StopIteration):
        next(steps)


def test_another_fold_or_pattern_reads_no_image_again(data):
    dataset = read_dataset(data)
    checks = drain(check_cases(dataset))
    first = assess_request(ask(data), dataset, checks)
    for file in data.rglob("*.nii.gz"):
        file.unlink()
    again = assess_request(ask(data), dataset, checks)
    assert (again.rows, again.splits) == (first.rows, first.splits)
    second = assess_request(ask(data, fold="1"), dataset, checks)
    assert second.fold == "1"
    assert {row.patient for row in second.rows if row.use == "validation"} != {
        row.patient for row in first.rows if row.use == "validation"
    }
    by_frame = assess_request(ask(data, patient="frame.."), dataset, checks)
    assert by_frame.pattern == "frame.."
    assert {row.patient for row in by_frame.rows} == {"frame01", "frame02"}
    assert len(by_frame.splits) == 2


# Cases


def test_a_warning_does_not_block(data):
    file = data / "labelsTr" / f"{TEN[3]}.nii.gz"
    write_nifti(file, np.zeros(SHAPE, np.uint8))
    preflight = judge(ask(data))
    assert only(preflight.all_problems).file == file
    assert preflight.ready


# The split


def test_all_cases_are_trained_on_without_validation(data):
    preflight = judge(ask(data, fold="all"))
    assert preflight.splits is None
    assert {row.use for row in preflight.rows} == {"training"}
    assert preflight.ready


def test_a_single_case(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=1)
    warning, problem = judge(ask(data)).problems
    assert not warning.blocks
    assert problem.text.template == TOO_FEW_PATIENTS
    assert problem.blocks
    assert judge(ask(data, fold="all")).ready


def test_cases_of_a_single_patient(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=2)
    preflight = judge(ask(data))
    remedies = (change("fold", "all"), change("patient"))
    expected = statement(TOO_FEW_PATIENTS, *remedies, patient="patient001")
    assert only(preflight.problems).text == expected
    assert (preflight.splits, preflight.ready) == (None, False)
    assert {row.use for row in preflight.rows} == {"left out"}
    assert judge(ask(data, fold="all")).ready
    assert judge(ask(data, patient="frame..")).ready


def test_an_invalid_pattern_is_reported_once(data):
    preflight = judge(ask(data, patient="("))
    problem = only(preflight.problems)
    assert "'('" in str(problem.text)
    assert problem.blocks
    assert [row.patient for row in preflight.rows] == TEN


def test_a_pattern_that_matches_no_case(data):
    problem = only(judge(ask(data, patient="^(heart)")).problems)
    assert problem.text.values == {"pattern": "^(heart)", "case": "patient001_frame01"}
    assert problem.blocks


def test_a_pattern_that_matches_some_cases(data):
    preflight = judge(ask(data, patient=r"^(patient00[1-4])"))
    problem = only(preflight.problems)
    assert problem.text.values == {
        "pattern": "^(patient00[1-4])",
        "count": 2,
        "cases": "patient005_frame01, patient005_frame02",
    }
    assert not problem.blocks
    assert preflight.ready


def test_names_without_patients_are_said_to_be_patients(tmp_path):
    data = make_dataset(tmp_path / "data", patients=3, frames=1)
    for file in data.rglob("*_frame01*"):
        file.rename(file.with_name(file.name.replace("_frame01", "")))
    preflight = judge(ask(data))
    problem = only(preflight.problems)
    assert (problem.text.template, problem.text.values) == (EVERY_CASE, {"count": 3})
    assert problem.text.remedies == (change("patient"),)
    assert preflight.ready


def test_a_fold_that_does_not_exist(tmp_path):
    data = make_dataset(tmp_path / "data", patients=3, frames=1)
    assert only(judge(ask(data, fold="3")).problems).text.values == {"fold": "3", "last": 2}


def test_the_same_patient_on_both_sides(data, tmp_path):
    file = write_splits(tmp_path / "given.json", (TEN[:7], TEN[7:]), (TEN[:6], TEN[6:]))
    preflight = judge(ask(data, split=file))
    problem = only(preflight.problems)
    assert problem.text.values == {
        "patient": "patient004",
        "training": "patient004_frame01",
        "validation": "patient004_frame02",
        "split": f"fold 0 of {file}",
    }
    assert (problem.file, problem.blocks) == (file, True)
    assert (preflight.split_file, preflight.ready) == (file, False)
    assert len(preflight.splits) == 2
    assert judge(ask(data, split=file, fold="1")).ready


def test_the_datasets_own_split(data):
    file = write_splits(data / "splits_final.json", (TEN[:6], TEN[6:8]))
    preflight = judge(ask(data))
    assert preflight.split_file == file
    assert [row.use for row in preflight.rows] == [
        *["training"] * 6, "validation", "validation", "left out", "left out",
    ]  # fmt: skip
    problem = only(preflight.problems)
    unused = "patient005_frame01, patient005_frame02"
    expected = statement(UNUSED_CASES, cases=unused, count=2, split=f"fold 0 of {file}")
    assert problem.text == expected
    assert (problem.file, problem.blocks) == (file, False)
    assert preflight.ready
    torn = judge(ask(data, patient="frame..")).problems  # this pattern puts them on both sides
    blocking = [problem.text.values["patient"] for problem in torn if problem.blocks]
    assert blocking == ["frame01", "frame02"]


# The output


def test_too_little_disk_space_blocks(data):
    preflight = judge(ask(data), free=10**9)
    problem = only(preflight.problems)
    assert problem.text.values["free"] == "1.0 GB"
    assert problem.blocks
    assert not preflight.ready
    assert preflight.disk.free_bytes == 10**9


def test_hardly_enough_disk_space_is_a_warning(data):
    needed = judge(ask(data)).disk.needed_bytes
    preflight = judge(ask(data), free=needed + 1)
    assert not only(preflight.problems).blocks
    assert preflight.ready


def test_an_output_below_a_file(data):
    file = data / "dataset.json"
    problem = only(judge(ask(data, output=file / "run")).problems)
    assert problem.text == statement(OUTPUT_BELOW_FILE, file=file)
    assert (problem.file, problem.blocks) == (file, True)


def test_an_output_in_the_dataset_blocks(data):
    for output, contents in ((data, "dataset"), (data / "labelsTr", "cases of a dataset")):
        problem = only(judge(ask(data, output=output)).problems)
        values = {"folder": output, "contents": contents}
        assert problem.text == statement(OUTPUT_IS_INPUT, Action.OTHER_OUTPUT, **values)
        assert problem.blocks


# A run that was started


def test_a_trained_fold_is_not_trained_again(hearts, trained_run):
    preflight = judge(ask(hearts, output=trained_run))
    problem = only(preflight.problems)
    assert problem.text.values == {"run": trained_run, "fold": "0"}
    assert [r.action for r in problem.text.remedies] == [Action.RESUME, Action.OTHER_OUTPUT]
    assert (problem.file, problem.blocks) == (trained_run, True)


def test_a_further_fold_keeps_split_and_settings(hearts, trained_run):
    preflight = judge(ask(hearts, output=trained_run, fold="1"))
    assert preflight.problems == ()
    assert preflight.split_file == RunFolder(trained_run).splits
    assert preflight.disk.parts["members"] < 20_000_000  # six of the small network
    other = judge(ask(hearts, output=trained_run, fold="1", schedule=RestartSchedule(epochs=9)))
    expected = {"setting": "epochs", "started_with": 12, "given": 9}
    assert only(other.problems).text.values.items() >= expected.items()


def test_an_added_cycle_trains_on_new_cases(trained_run, tmp_path):
    data = make_dataset(tmp_path / "data", patients=5, frames=2)
    record = read_record(RunFolder(trained_run).record)
    held_back = record.folds["0"]["validation_cases"]
    preflight = judge(ask(data, output=trained_run, add_cycle=True))
    assert preflight.problems == ()
    assert {row.check.name for row in preflight.rows if row.use == "validation"} == set(held_back)
    assert [row.use for row in preflight.rows[-2:]] == ["training", "training"]
    assert "left out" not in {row.use for row in preflight.rows}


def test_nothing_to_resume(data):
    problem = only(judge(ask(data, resume=True)).problems)
    assert problem.text.remedies == (Remedy(Action.START_NEW),)
    assert problem.blocks
