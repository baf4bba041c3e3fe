"""All kinds of folders that a user may choose, and files in them that cannot be members."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.problems import Statement, statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.ensemble_folder import (
    DAMAGED_FILE,
    DIFFERENCE,
    EXPECTED,
    FOLD_ALL,
    HOLDS_NO_TRAINING,
    LEFT_OUT,
    LFS_POINTER,
    MISSING_MEMBER,
    NEVER_A_MEMBER,
    NO_MEMBERS,
    NO_MEMBERS_YET,
    NOT_FOUND,
    OTHER_MEMBER_SIZE,
    POINTERS,
    SEVERAL_DATASETS,
    TOO_MANY_FOLDERS,
    UNUSABLE_TRAINING,
    VERSION_1,
    EnsembleFolder,
    find_ensemble,
)
from napari_bayes_nnunet.io.ensemble.run_folder import (
    RunFolder,
    TrainingRecord,
    add_member,
    read_record,
    write_record,
)
from napari_bayes_nnunet.io.files.access import UNREADABLE
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON
from napari_bayes_nnunet.io.files.limits import LFS_START

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
SCHEDULE = RestartSchedule(epochs=30, cycles=3)
CONFIGURATIONS: dict[str, Any] = {
    "2d": {"patch_size": [64, 64], "spacing": [1.5, 1.5]},
    "3d_fullres": {"patch_size": [16, 64, 64], "spacing": [10.0, 1.5, 1.5]},
}


def make_weights(path: Path, content: bytes = b"weights") -> Path:
    """Write a zip archive with the layout of torch.save, which is never unpickled here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return path


def make_model(
    path: Path,
    files: Iterable[str] = ("fold_0/checkpoint_final.pth",),
    *,
    labels: dict[str, Any] = LABELS,
    configurations: dict[str, Any] = CONFIGURATIONS,
) -> Path:
    """Write a result folder of nnU-Net."""
    for file in files:
        make_weights(path / file)
    path.mkdir(parents=True, exist_ok=True)
    dataset = {"labels": labels, "channel_names": {"0": "cineMRI"}, "file_ending": ".nii.gz"}
    (path / "dataset.json").write_text(json.dumps(dataset))
    (path / "plans.json").write_text(json.dumps({"configurations": configurations}))
    return path


def make_run(path: Path, epochs: Iterable[int] = (8, 9, 18, 19, 28, 29), fold: str = "0") -> Path:
    """Write a run of this package with the members of ``epochs`` in its record."""
    make_model(path, files=())
    run = RunFolder(path)
    record = TrainingRecord(
        name="acdc-demo",
        schedule=SCHEDULE,
        selection=MemberSelection(per_cycle=2, step=1),
        labels=LABELS,
        channels=["cineMRI"],
        folds={fold: {"members": []}},
    )
    write_record(run.record, record)
    run.fold(fold).mkdir()
    for epoch in epochs:
        make_weights(run.member(fold, epoch))
        add_member(run, fold, epoch)
    record = read_record(run.record)  # measured last, because a new member makes this outdated
    record.validation["0"] = {"cases": 3, "dice": {"LV": 0.9}}
    write_record(run.record, record)
    return path


def names(folder: EnsembleFolder) -> list[str]:
    return [f"{m.training}/{m.fold}/{m.path.name}" for m in folder.members if m.usable]


def refusal(path: Path) -> Statement:
    """Return the statement of the error of finding an ensemble."""
    with pytest.raises(DataError) as caught:
        find_ensemble(path)
    return caught.value.statement


def unusable(training: Path, reason: str) -> dict[str, str]:
    """Return the values of the error for one unusable training."""
    return {"reasons": UNUSABLE_TRAINING.format(training=training, reason=reason)}


def refusals(folder: EnsembleFolder) -> dict[str, str]:
    return {m.path.name: m.refused for m in folder.members if not m.usable}


def test_run_with_cycles(tmp_path):
    run = make_run(tmp_path / "run")
    make_weights(run / "fold_0" / "checkpoint_final.pth")
    make_weights(run / "fold_0" / "checkpoint_best.pth")
    folder = find_ensemble(run)
    assert (folder.kind, folder.name, folder.path) == ("checkpoint ensemble", "acdc-demo", run)
    assert (folder.configuration, folder.labels) == ("2d", LABELS)
    assert (folder.channels, folder.problems, folder.usable) == (["cineMRI"], (), True)
    assert [m.epoch for m in folder.members] == [8, 9, 18, 19, 28, 29]
    assert [m.cycle for m in folder.members] == [0, 0, 1, 1, 2, 2]
    assert folder.members[-1].learning_rate == pytest.approx(SCHEDULE.learning_rate(29))
    assert folder.members[0].bytes == folder.members[0].path.stat().st_size
    assert all(
        len(m.sha256) == 64 and m.fold == "0" and m.training == "run" for m in folder.members
    )


@pytest.mark.parametrize(
    "chosen", ["", "fold_0", "fold_0/members", "fold_0/members/epoch_0009.pth"]
)
def test_any_path_in_a_run_finds_it(tmp_path, chosen):
    run = make_run(tmp_path / "run")
    assert find_ensemble(run / chosen) == find_ensemble(run)


def test_member_recorded_outside_of_the_run_is_missing_there(tmp_path):
    run = make_run(tmp_path / "run")
    record = json.loads((run / "ensemble.json").read_text())
    record["folds"]["0"]["members"][0]["file"] = "/etc/elsewhere/passwd"
    (run / "ensemble.json").write_text(json.dumps(record))
    for chosen in (run, run / "fold_0"):
        assert len(find_ensemble(chosen).members) == 6
    assert find_ensemble(run).problems == (MISSING_MEMBER.format(file="etc/elsewhere/passwd"),)


def test_missing_member_is_a_problem(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "fold_0/members/epoch_0018.pth").unlink()
    folder = find_ensemble(run)
    assert folder.problems == (MISSING_MEMBER.format(file="fold_0/members/epoch_0018.pth"),)
    assert len(folder.members) == 5
    make_weights(run / "fold_1/members/epoch_0009.pth")
    assert find_ensemble(run / "fold_1").problems == ()


def test_member_of_another_size_than_recorded_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    file = run / "fold_0/members/epoch_0009.pth"
    recorded = file.stat().st_size
    make_weights(file, b"other weights")
    folder = find_ensemble(run)
    reason = OTHER_MEMBER_SIZE.format(size=file.stat().st_size, recorded=recorded)
    assert refusals(folder) == {"epoch_0009.pth": reason}
    assert len(folder.usable_members) == 5


def test_pointers_of_git_lfs_are_one_problem(tmp_path):
    run = make_run(tmp_path / "run", epochs=(8, 9, 18))
    for epoch in (8, 9):
        file = RunFolder(run).member("0", epoch)
        file.write_bytes(LFS_START + b"v1\noid sha256:0\nsize 1\n")
    folder = find_ensemble(run)
    assert refusals(folder) == {f"epoch_000{epoch}.pth": LFS_POINTER for epoch in (8, 9)}
    assert folder.problems == (POINTERS.format(count=2, members=3, folder=run),)
    assert folder.refusals == []


def test_damaged_record_refuses_no_member(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "ensemble.json").write_text('{"format": 1')
    folder = find_ensemble(run)
    assert folder.problems[0].startswith(DAMAGED_JSON.format(file=run / "ensemble.json", repair=""))
    assert (len(folder.usable_members), folder.record, folder.name) == (6, None, "run")


def test_training_without_members_yet_is_refused(tmp_path):
    run = make_run(tmp_path / "run", epochs=[])
    make_weights(run / "fold_0" / "checkpoint_latest.pth")
    reason = NO_MEMBERS_YET.format(epoch=8)
    assert refusal(run).values == unusable(run, reason)


def test_cycles_of_a_training_that_nnunet_started(tmp_path):
    files = [f"fold_0/members/epoch_{epoch:04d}.pth" for epoch in (9, 19)]
    folder = make_model(tmp_path / "CheckpointEnsembleTrainer__nnUNetPlans__2d", files)
    assert [m.cycle for m in find_ensemble(folder).members] == [0, 0]
    entry = {"schedule": {"epochs": 30, "cycles": 3}}
    plans = {"configurations": CONFIGURATIONS, "checkpoint_ensemble": entry}
    (folder / "plans.json").write_text(json.dumps(plans))
    assert [m.cycle for m in find_ensemble(folder).members] == [0, 1]


def test_validation_dice_is_that_of_the_one_fold(tmp_path):
    run = make_run(tmp_path / "run")
    folder = find_ensemble(run)
    assert (folder.validation_dice, folder.validation_cases) == ({"LV": 0.9}, 3)
    make_weights(run / "fold_1/members/epoch_0009.pth")
    assert find_ensemble(run).validation_dice == {}


def test_checkpoint_latest_and_final_replace_missing_members(tmp_path):
    model = make_model(tmp_path / "m", ["fold_0/checkpoint_latest.pth"])
    for file in ("checkpoint_latest", "checkpoint_final", "members/epoch_0009"):
        path = make_weights(model / f"fold_0/{file}.pth")
        assert names(find_ensemble(model)) == [f"m/0/{path.name}"]


@pytest.mark.parametrize("per_fold", [1, 2])
def test_folds_are_a_cross_validation_ensemble(tmp_path, per_fold):
    files = ["checkpoint_final.pth", "model_ep_050.pth"][:per_fold]
    model = make_model(
        tmp_path / "Dataset027_ACDC/nnUNetTrainer__nnUNetPlans__3d_fullres",
        [f"fold_{fold}/{file}" for fold in range(5) for file in files],
    )
    folder = find_ensemble(tmp_path / "Dataset027_ACDC")
    assert (folder.kind, folder.configuration) == ("cross-validation ensemble", "3d_fullres")
    assert folder.path == model
    assert [m.fold for m in folder.members] == [str(f) for f in range(5) for _ in range(per_fold)]


def test_folds_without_members_are_named(tmp_path):
    model = make_model(tmp_path / "m", [f"fold_{f}/checkpoint_final.pth" for f in "02"])
    make_weights(model / "fold_1/checkpoint_best.pth")
    (model / "fold_3").mkdir()
    reason = NO_MEMBERS
    expected = [LEFT_OUT.format(training=f"m/fold_{fold}", reason=reason) for fold in "13"]
    assert [*find_ensemble(model).problems] == expected
    assert find_ensemble(model / "fold_0").problems == ()
    run = make_run(tmp_path / "run")
    (run / "fold_1").mkdir()
    first = next(e for e in range(100) if (run / f"fold_0/members/epoch_{e:04}.pth").exists())
    reason = NO_MEMBERS_YET.format(epoch=first)
    assert find_ensemble(run).problems == (LEFT_OUT.format(training="run/fold_1", reason=reason),)


def test_fold_all_is_used_alone_only(tmp_path):
    model = make_model(
        tmp_path / "m", [f"fold_{f}/checkpoint_final.pth" for f in ("0", "1", "all")]
    )
    folder = find_ensemble(model)
    assert names(folder) == ["m/0/checkpoint_final.pth", "m/1/checkpoint_final.pth"]
    assert refusals(folder) == {"checkpoint_final.pth": FOLD_ALL}
    assert names(find_ensemble(model / "fold_all")) == ["m/all/checkpoint_final.pth"]
    alone = make_model(tmp_path / "alone", ["fold_all/checkpoint_final.pth"])
    assert find_ensemble(alone).usable


def test_checkpoint_best_is_never_a_member(tmp_path):
    files = ["fold_0/checkpoint_best.pth", "fold_0/checkpoint_final.pth"]
    model = make_model(tmp_path / "m", files)
    folder = find_ensemble(model / files[0])
    assert names(folder) == ["m/0/checkpoint_final.pth"]
    assert folder.problems == (NEVER_A_MEMBER.format(file="checkpoint_best.pth"),)
    (model / files[1]).unlink()
    assert refusal(model).values == unusable(model, NO_MEMBERS)


def test_trainings_side_by_side_are_a_deep_ensemble(tmp_path):
    for seed in (1, 2, 10):
        make_model(tmp_path / "seeds" / f"seed{seed}")
    folder = find_ensemble(tmp_path / "seeds")
    assert (folder.kind, folder.name) == ("deep ensemble", "seeds")
    assert [m.training for m in folder.members] == ["seed1", "seed2", "seed10"]
    assert folder.path == tmp_path / "seeds" / "seed1"


def test_trainings_named_like_folds_are_found(tmp_path):
    for fold in "01":
        make_model(tmp_path / f"fold_{fold}")
    assert find_ensemble(tmp_path).kind == "deep ensemble"
    assert names(find_ensemble(tmp_path / "fold_1")) == ["fold_1/0/checkpoint_final.pth"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("patch_size", [32, 32]),
        ("spacing", [1.0, 1.0]),
        ("architecture", {"arch_kwargs": {"n_stages": 5}}),
    ],
)
def test_training_with_other_plans_is_refused(tmp_path, setting, value):
    for seed in "ab":
        make_model(tmp_path / seed)
    settings = {"2d": {**CONFIGURATIONS["2d"], setting: value}}
    make_model(tmp_path / "c", configurations=settings)
    folder = find_ensemble(tmp_path)
    assert [m.training for m in folder.usable_members] == ["a", "b"]
    expected = CONFIGURATIONS["2d"].get(setting)
    reason = DIFFERENCE.format(setting=setting, value=value, expected=expected)
    assert folder.problems == (LEFT_OUT.format(training="c", reason=reason),)


def test_several_datasets_are_not_mixed(tmp_path):
    for name in ("Dataset001_A", "Dataset002_B"):
        make_model(tmp_path / name / "nnUNetTrainer__nnUNetPlans__2d")
    error = refusal(tmp_path)
    assert error == statement(
        SEVERAL_DATASETS, folder=tmp_path, datasets="Dataset001_A, Dataset002_B"
    )


def test_damaged_file_alone_is_refused(tmp_path):
    model = make_model(tmp_path / "m", [f"fold_0/epoch_{epoch}.pth" for epoch in range(2)])
    file = model / "fold_0/epoch_0.pth"
    file.write_bytes(file.read_bytes()[:-30])
    folder = find_ensemble(model)
    assert names(folder) == ["m/0/epoch_1.pth"]
    assert refusals(folder) == {"epoch_0.pth": DAMAGED_FILE}


@pytest.mark.parametrize("mark", ["plans.pkl", "fold_0/model_final_checkpoint.model"])
def test_version_1_folder_is_named(tmp_path, mark):
    model = tmp_path / "nnUNet/2d/Task027_ACDC/nnUNetTrainerV2__nnUNetPlansv2.1"
    (model / mark).parent.mkdir(parents=True)
    (model / mark).write_bytes(b"")
    assert refusal(tmp_path / "nnUNet/2d").values == unusable(model, VERSION_1)


def test_path_that_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / ("long" * 1000)
    assert refusal(path) == statement(UNREADABLE, file=path, reason=os.strerror(errno.ENAMETOOLONG))


def test_missing_folder_is_refused(tmp_path):
    assert refusal(tmp_path / "nowhere") == statement(NOT_FOUND, path=tmp_path / "nowhere")


@pytest.mark.parametrize(("chosen", "content"), [("", "nothing"), ("a.nii.gz", "a.nii.gz")])
def test_folder_without_training_is_refused(tmp_path, chosen, content):
    if chosen:
        (tmp_path / chosen).touch()
    error = refusal(tmp_path / chosen)
    assert error == statement(
        HOLDS_NO_TRAINING, folder=tmp_path, content=content, expected=EXPECTED
    )


def test_too_large_a_folder_is_not_searched(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_bayes_nnunet.io.ensemble.ensemble_folder._MOST_FOLDERS", 3)
    for number in range(4):
        (tmp_path / str(number)).mkdir()
    assert refusal(tmp_path) == statement(TOO_MANY_FOLDERS, folder=tmp_path)


def test_second_check_refuses_members(tmp_path):
    files = [f"fold_{fold}/checkpoint_final.pth" for fold in range(2)]
    folder = find_ensemble(make_model(tmp_path / "m", files))
    checked = folder.with_refused(
        {folder.members[0].path: "wrong architecture", Path("other"): "no"}
    )
    assert [m.refused for m in checked.members] == ["wrong architecture", ""]
    assert (folder.kind, checked.kind) == ("cross-validation ensemble", "checkpoints")
    assert checked.with_refused({}) == checked
