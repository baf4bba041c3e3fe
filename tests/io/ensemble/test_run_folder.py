"""The record of a training: added members, members deleted on resuming, and refused files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.run_folder import (
    RunFolder,
    TrainingRecord,
    add_member,
    forget_from,
    read_record,
    write_record,
)
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON, NEWER_JSON

from ...helpers.checks.problems import says

SCHEDULE = RestartSchedule(epochs=30, cycles=3)


def make_record(**changes: Any) -> TrainingRecord:
    values: dict[str, Any] = {
        "name": "run",
        "configuration": "2d",
        "schedule": SCHEDULE,
        "selection": MemberSelection(per_cycle=2, step=1),
        "batch_size": 20,
        "iterations_per_epoch": 12,
        "labels": {"background": 0, "RV": 1},
        "channels": ["cineMRI"],
        "seed": 3,
        "licence": "CC0-1.0",
        "folds": {"0": {"training_cases": ["a"], "validation_cases": ["b"], "members": []}},
    }
    return TrainingRecord(**(values | changes))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with members at the end of each cycle, and its progress."""
    run = RunFolder(tmp_path / "run")
    write_record(run.record, make_record())
    run.members("0").mkdir(parents=True)
    for epoch in (29, 9, 19):
        run.member("0", epoch).write_bytes(b"weights" * epoch)
        add_member(run, "0", epoch)
    return run


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_record_survives_writing_and_reading(tmp_path):
    ranges = {"RV": {"volume_ml": [20.0, 150.0]}}
    record = make_record(validation={"0": {"method": "multi", "structures": ranges}})
    write_record(tmp_path / "ensemble.json", record)
    assert read_record(tmp_path / "ensemble.json") == record


def test_members_of_another_fold_are_apart(run):
    run.members("1").mkdir(parents=True)
    run.member("1", 9).write_bytes(b"x")
    add_member(run, "1", 9)
    record = read_record(run.record)
    assert [m.epoch for m in record.members("1")] == [9]
    assert [m.epoch for m in record.members("0")] == [9, 19, 29]
    assert record.folds["0"]["training_cases"] == ["a"]
    assert record.members("4") == []
    assert (record.training_cases("0"), record.validation_cases("0")) == (["a"], ["b"])
    assert record.training_cases("1") == record.validation_cases("1") == []


def test_resuming_deletes_members_and_progress(run):
    lines = [{"kind": "epoch", "fold": "0", "epoch": epoch} for epoch in (17, 18, 19)]
    lines += [{"kind": "stage", "text": "Training"}, {"kind": "epoch", "fold": "1", "epoch": 25}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    run.progress.write_text(text + '{"kind": "epo')
    foreign = run.members("0") / "epoch_x.pth"
    leftovers = [run.members("0") / ".writing-a-epoch_0029.pth", run.path / ".writing-b"]
    leftovers.append(run.fold("0") / ".writing-c-checkpoint_latest.pth")
    trajectory = run.trajectory("0")
    trajectory.mkdir()
    kept = [trajectory / f"epoch_00{epoch}.npz" for epoch in (17, 18, 19, 20)]
    for file in (foreign, *leftovers, *kept):
        file.touch()
    forget_from(run, "0", 19)
    assert [file.exists() for file in kept] == [True, True, False, False]
    assert [m.epoch for m in read_record(run.record).members("0")] == [9]
    assert sorted(f.name for f in run.members("0").iterdir()) == ["epoch_0009.pth", "epoch_x.pth"]
    assert not any(file.exists() for file in leftovers)
    assert [json.loads(line) for line in run.progress.read_text().splitlines()] == [
        line for line in lines if line.get("epoch") != 19
    ]


@pytest.mark.parametrize("damaged", [b"\xff\x00\n", b"5\n", b"[]\n", b"[" * 10**5 + b"\n"])
def test_resuming_deletes_damaged_lines_of_the_progress(run, damaged):
    whole = b'{"kind": "epoch", "fold": "0", "epoch": 17}\n'
    without_epoch = b'{"kind": "epoch", "fold": "0"}\n'
    run.progress.write_bytes(whole + damaged + without_epoch)
    forget_from(run, "0", 19)
    assert run.progress.read_bytes() == whole


def test_record_of_a_newer_version_is_refused(run):
    edit(run.record, format=2)
    with pytest.raises(DataError, check=says(NEWER_JSON)) as caught:
        read_record(run.record)
    assert caught.value.values == {"file": run.record}


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"epochs": 10, "cycles": 3}},
        {"schedule": None},
        {"selection": {"per_cycle": 0}},
        {"folds": []},
        {"folds": {"0": {"members": [{"file": "a.pth"}]}}},
        {"folds": {"0": [1]}},
    ],
)
def test_record_with_wrong_entries_is_damaged(run, changes):
    edit(run.record, **changes)
    with pytest.raises(DataError, check=says(DAMAGED_JSON, file=run.record)):
        read_record(run.record)


@pytest.mark.parametrize("entry", ["folds", "validation"])
@pytest.mark.parametrize("fold", ["./../../other run/fold_0", "x", "", "1_0", "-1", "0\n"])
def test_fold_never_leads_to_another_folder(run, entry, fold):
    edit(run.record, **{entry: {"0": {}, "all": {}, "12": {}}})
    read_record(run.record)
    edit(run.record, **{entry: {fold: {}}})
    with pytest.raises(DataError, check=says(DAMAGED_JSON, file=run.record)):
        read_record(run.record)
