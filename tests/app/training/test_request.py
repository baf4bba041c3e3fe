"""Settings that a run keeps; refusals of the command are tested with the command."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.training.job import RUN_IS_BUSY, RUN_IS_DATASET, prepare_job
from napari_bayes_nnunet.app.training.request import (
    TrainingRequest,
    check_start,
    choose_fold,
    choose_splits,
    dataset_difference,
    has_begun,
    schedule_notes,
    settled_record,
    starting_values,
    with_given_names,
)
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.ensemble.training_settings import PRESETS
from napari_bayes_nnunet.core.problems import Action, Remedy, Setting, change
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import (
    Split,
    patient_splits,
    read_dataset,
    splits_to_json,
)
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, TrainingRecord, write_record

from ...helpers.data.hearts import make_dataset

RECORD = TrainingRecord(
    name="run",
    schedule=RestartSchedule(epochs=12),
    selection=MemberSelection(step=1),
    batch_size=4,
    iterations_per_epoch=5,
    labels={"background": 0, "LV": 1},
    channels=["cine"],
    preset="demo",
    seed=7,
    licence="CC0-1.0",
    folds={"0": {"training_cases": [], "validation_cases": [], "members": []}},
)


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "run")
    write_record(run.record, RECORD)
    return run


RUN = RunFolder(Path("run"))


def asked(dataset="data", output="run", **changes):
    return TrainingRequest(dataset=dataset, output=output, **changes)


def test_the_presets_are_the_papers_and_the_demos():
    paper, demo = PRESETS["paper"], PRESETS["demo"]
    assert paper.schedule == RestartSchedule(
        epochs=1200, cycles=3, gamma=0.8, initial_lr=0.01, restart_lr=0.1, exponent=0.9,
        decay_over="T", restart_first_cycle=True,
    )  # fmt: skip
    assert (paper.batch_size, paper.selection) == (20, MemberSelection(per_cycle=30, step=2))
    assert demo.schedule == RestartSchedule(epochs=150, decay_over="T", restart_first_cycle=False)
    assert demo.selection.step == 1


def test_a_run_that_saved_nothing_settles_nothing(run):
    assert settled_record(run, resume=False) is None
    assert settled_record(run, resume=True) == RECORD
    assert starting_values(run.path, preset="demo", resume=False) == PRESETS["demo"]


@pytest.mark.parametrize("file", ["checkpoint_best.pth", "members/epoch_0001.pth"])
def test_a_run_that_saved_something_is_settled(file, run):
    path = run.fold("0") / file
    path.parent.mkdir(parents=True)
    path.touch()
    assert has_begun(run, "0")
    assert not has_begun(run, "1")
    assert settled_record(run, resume=False) == RECORD
    assert starting_values(run.path, preset=None, resume=False) == RECORD


def test_a_resume_takes_the_only_fold():
    of_all = replace(RECORD, folds={"all": {}})
    assert choose_fold(asked(), None) == "0"
    assert choose_fold(asked(resume=True), of_all) == "all"
    assert choose_fold(asked(fold="1"), of_all) == "1"
    several = replace(RECORD, folds={"0": {}, "1": {}})
    assert choose_fold(asked(resume=True, fold="1"), several) == "1"
    for fold in (None, "4"):
        with pytest.raises(AppError) as caught:
            choose_fold(asked(resume=True, fold=fold), several)
        assert caught.value.values["folds"] == "0, 1"
        assert caught.value.remedies == (change("fold"),)


def test_settings_without_a_request_agree():
    check_start(asked(), RUN, "0", RECORD)
    check_start(asked(schedule=RECORD.schedule, seed=7, preset="demo"), RUN, "0", RECORD)


def test_a_contradiction_names_setting_and_both_values():
    schedule = replace(RECORD.schedule, restart_lr=0.05)
    with pytest.raises(AppError) as caught:
        check_start(asked(schedule=schedule), RUN, "0", RECORD)
    expected = {"setting": "restart_lr", "started_with": 0.1, "given": 0.05}
    assert caught.value.values.items() >= expected.items()
    assert [r.action for r in caught.value.remedies] == [Action.LEAVE_OUT, Action.OTHER_OUTPUT]
    with pytest.raises(AppError) as caught:
        check_start(
            asked(selection=MemberSelection(per_cycle=5, step=1)),
            RUN,
            "0",
            RECORD,
        )
    expected = {"setting": "members_per_cycle", "started_with": 30, "given": 5}
    assert caught.value.values.items() >= expected.items()


def test_the_datasets_own_split_is_taken_unasked(tmp_path):
    data = read_dataset(make_dataset(tmp_path / "data", patients=3, frames=1))
    by_patient = choose_splits(asked(), data, "0", frozen=None)
    own = list(reversed(by_patient))
    (data.path / "splits_final.json").write_text(json.dumps(splits_to_json(own)))
    assert choose_splits(asked(), data, "0", frozen=None) == own
    assert choose_splits(asked(patient="(.*)_"), data, "0", frozen=None) == own
    given = tmp_path / "given.json"
    given.write_text(json.dumps(splits_to_json(by_patient)))
    assert choose_splits(asked(split=given), data, "0", frozen=None) == by_patient


def test_run_that_lost_its_split_keeps_its_patients(tmp_path):
    data = read_dataset(make_dataset(tmp_path / "data", patients=2, frames=2))
    names = ["p1_phase01", "p1_phase02", "p2_phase01", "p2_phase02"]
    cases = [replace(case, name=name) for case, name in zip(data.cases, names, strict=True)]
    data = replace(data, cases=tuple(cases))
    splits = choose_splits(asked(), data, "0", frozen=None, pattern="(.*)")
    assert splits == patient_splits(names, pattern="(.*)", training_only={})
    assert splits != choose_splits(asked(), data, "0", frozen=None)


def test_a_split_within_a_patient_is_refused(tmp_path):
    data = read_dataset(make_dataset(tmp_path / "data", patients=2, frames=2))
    torn = [Split(("patient001_frame01", "patient002_frame01"), ("patient001_frame02",))]
    (data.path / "splits_final.json").write_text(json.dumps(splits_to_json(torn)))
    request = asked(data.path, tmp_path / "run")
    with (
        pytest.raises(AppError) as caught,
        prepare_job(request),
    ):
        raise AssertionError
    expected = {"patient": "patient001", "training": "patient001_frame01"}
    assert caught.value.values.items() >= expected.items()
    with prepare_job(replace(request, patient=".*")) as job:  # the names do not tell patients
        assert job.record.patient == ".*"


def test_a_run_keeps_the_patients_of_its_own_pattern(tmp_path):
    data = read_dataset(make_dataset(tmp_path / "data", patients=2, frames=2))
    for file in data.path.rglob("patient*_frame0*"):
        name = file.name.replace("frame01", "ED").replace("frame02", "ES")
        file.rename(file.with_name(name))
    phases = tuple(f"patient00{n}_{phase}" for n in (1, 2) for phase in ("ED", "ES"))
    torn = [Split(phases[::2], phases[1::2]), Split(phases[1::2], phases[::2])]
    (tmp_path / "torn.json").write_text(json.dumps(splits_to_json(torn)))
    request = asked(data.path, tmp_path / "run")
    start = replace(request, split=tmp_path / "torn.json")
    with pytest.raises(AppError), prepare_job(start):
        raise AssertionError
    with prepare_job(replace(start, patient=".*")) as job:
        write_record(job.run.record, job.record)
        job.run.splits.write_text(json.dumps(splits_to_json(torn)))
        job.run.member("0", 1).parent.mkdir(parents=True)
        job.run.member("0", 1).touch()
    with prepare_job(replace(request, fold="1")) as job:
        assert job.splits == torn
        assert job.record.patient == ".*"


def test_a_run_keeps_its_split(tmp_path):
    data = read_dataset(make_dataset(tmp_path / "data", patients=3, frames=1))
    splits = list(reversed(choose_splits(asked(), data, "0", frozen=None)))
    frozen, other = tmp_path / "frozen.json", tmp_path / "other.json"
    frozen.write_text(json.dumps(splits_to_json(splits)))
    other.write_text(json.dumps(splits_to_json(splits[:2])))
    assert choose_splits(asked(), data, "0", frozen=frozen) == splits
    assert choose_splits(asked(split=frozen), data, "0", frozen=frozen) == splits
    for setting, value in (("split", other), ("patient", "(.*)_")):
        with pytest.raises(AppError) as caught:
            choose_splits(asked(**{setting: value}), data, "0", frozen=frozen)
        leave_out, elsewhere = caught.value.remedies
        assert leave_out == Remedy(Action.LEAVE_OUT, {"setting": Setting(setting)})
        assert elsewhere.action is Action.OTHER_OUTPUT


def test_a_difference_of_datasets_in_words():
    before = {name: {"image_bytes": [1], "label_sha256": name} for name in "abcdefg"}
    now = {name: dict(before[name]) for name in "defg"} | {"x": {}}
    now["d"]["label_sha256"] = "other"
    assert dataset_difference(before, before) == ""
    assert dataset_difference(before, now) == "1 added (x), 3 removed (a, b, c), 1 changed (d)"
    assert dataset_difference(before, {}) == "7 removed (a, b, c, …)"


def test_a_seed_is_drawn_if_none_is_given(hearts, tmp_path):
    seeds = set()
    for _ in range(3):
        with prepare_job(asked(hearts, tmp_path / "run")) as job:
            seeds.add(job.record.seed)
    assert len(seeds) == 3
    assert None not in seeds
    with prepare_job(asked(hearts, tmp_path / "run", seed=3)) as job:
        assert job.record.seed == 3


def test_a_prepared_job_only_locks_its_folder(hearts, tmp_path):
    request = asked(hearts, tmp_path / "run")
    with prepare_job(request) as job:
        assert [file.name for file in job.run.path.iterdir()] == ["training.lock"]
        with pytest.raises(AppError) as caught, prepare_job(request):
            pass
        assert caught.value.statement.template == RUN_IS_BUSY
    with prepare_job(request):
        pass


def test_another_dataset_does_not_become_a_run(hearts, tmp_path):
    (tmp_path / "other" / "imagesTr").mkdir(parents=True)
    with pytest.raises(AppError) as caught, prepare_job(asked(hearts, tmp_path / "other")):
        pass
    assert caught.value.statement.template == RUN_IS_DATASET


def test_a_damaged_record_is_named(hearts, run):
    run.record.write_text("{")
    with pytest.raises(DataError, match=r"ensemble\.json"):
        settled_record(run, resume=True)


def test_the_papers_numbers_need_no_note():
    assert schedule_notes(RestartSchedule(), MemberSelection()) == {}


@pytest.mark.parametrize(
    ("per_cycle", "step", "numbers"),
    [
        (81, 1, ["80 epochs", "80 members", "81"]),
        (41, 2, ["80 epochs", "40 members", "41"]),
        (2, 500, ["80 epochs", "1 member", "2"]),
    ],
)
def test_more_members_than_the_plateau_has(per_cycle, step, numbers):
    selection = MemberSelection(per_cycle=per_cycle, step=step)
    (note,) = schedule_notes(RestartSchedule(), selection).values()
    assert re.findall(r"\d+(?: epochs?| members?)?", note) == numbers


def test_rates_that_rarely_work():
    schedule = RestartSchedule(initial_lr=1.5, restart_lr=20)
    notes = schedule_notes(schedule, MemberSelection())
    assert set(notes) == {"initial_lr", "restart_lr"}
    assert "20" in notes["restart_lr"]


def test_given_names_are_kept_by_the_run(tmp_path):
    labels = {"background": 0, "structure 1": 1, "structure 2": 2, "structure 3": 3}
    data = make_dataset(tmp_path / "data", patients=2, frames=1, labels=labels)
    given = {1: "RV", 2: "MYO", 3: "LV"}
    request = TrainingRequest(dataset=data, output=tmp_path / "run", labels=given)
    with prepare_job(request) as job:
        record = job.record
        assert job.dataset.labels == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    assert record.labels == job.dataset.labels
    assert record.named == {"1": "RV", "2": "MYO", "3": "LV"}
    dataset = read_dataset(data)
    again = replace(request, labels=None)
    assert with_given_names(dataset, again, record).labels == record.labels
    check_start(request, RUN, "0", record)
    some = replace(request, labels={3: "LV"})
    check_start(some, RUN, "0", record)
    assert with_given_names(dataset, some, record).labels == record.labels
    with pytest.raises(AppError) as caught:
        check_start(replace(request, labels={7: "LV"}), RUN, "0", record)
    assert caught.value.values["started_with"] == "1=RV,2=MYO,3=LV"
    with pytest.raises(AppError) as caught:
        check_start(replace(request, labels={1: "LV"}), RUN, "0", record)
    assert caught.value.values["setting"] == "labels"
    assert (caught.value.values["started_with"], caught.value.values["given"]) == ("1=RV", "1=LV")
