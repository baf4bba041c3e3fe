"""Added cycles of a finished training, with the real command."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.app.training import job
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record

from ...helpers.data.hearts import LABELS, make_dataset

SCHEDULE = RestartSchedule(epochs=9, gamma=0.5, restart_first_cycle=False)
FLAGS = (
    *("--preset", "demo", "--epochs", 9, "--gamma", 0.5, "--seed", 3),
    *("--iterations-per-epoch", 1, "--batch-size", 2, "--jsonl"),
)

NOT_FINISHED = statement(job.NOT_FINISHED, Action.RESUME, fold="0")


@pytest.fixture(scope="module")
def finished(planned_run, hearts, warm_command, tmp_path_factory) -> RunFolder:
    """A finished training of three cycles; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    run = RunFolder(shutil.copytree(planned_run, folder / "run"))
    done = warm_command.run("train", hearts, "--output", run.path, *FLAGS, folder=folder)
    assert done.code == 0, done.errors
    return run


@pytest.fixture(scope="module")
def extended(finished, hearts, warm_command, tmp_path_factory) -> RunFolder:
    """The same with a fourth cycle; not to be changed."""
    folder = tmp_path_factory.mktemp("extended")
    run = RunFolder(shutil.copytree(finished.path, folder / "run"))
    assert add_cycle(warm_command, hearts, run, folder).code == 0
    return run


@pytest.fixture
def run(finished, tmp_path) -> RunFolder:
    return RunFolder(shutil.copytree(finished.path, tmp_path / "run"))


def add_cycle(command, dataset, run, folder, *flags):
    start = ("train", dataset, "--output", run.path, "--add-cycle", "--jsonl")
    return command.run(*start, *flags, folder=folder)


def epochs(run):
    lines = [json.loads(line) for line in run.progress.read_text().splitlines()]
    return [line for line in lines if line["kind"] == "epoch"]


def test_an_added_cycle_has_the_last_rates(extended):
    rates = [row["learning_rate"] for row in epochs(extended)]
    assert rates == [SCHEDULE.learning_rate(epoch) for epoch in [*range(9), *range(6, 9)]]
    assert rates[9] == SCHEDULE.restart_lr
    assert [row["cycle"] for row in epochs(extended)][9:] == [3] * 3


def test_the_record_describes_the_added_cycle(extended, finished, hearts):
    before, after = read_record(finished.record), read_record(extended.record)
    assert after.schedule == before.schedule == SCHEDULE  # T and T_c stay
    assert after.schedule_of("0").all_cycles == 4
    assert after.members("0")[: len(before.members("0"))] == before.members("0")
    assert [(m.epoch, m.cycle) for m in after.members("0")][-1] == (11, 3)
    (cycle,) = after.added_cycles("0")
    assert cycle["dataset"] == before.dataset
    assert cycle["training_cases"] == before.training_cases("0")
    assert cycle["command"].endswith("--add-cycle --jsonl")
    assert after.is_complete("0")
    assert after.validation["0"]["members"] == 4  # one of each cycle
    assert before.validation["0"]["members"] == 3
    assert after.validation["0"]["dice"] != before.validation["0"]["dice"]


def test_a_kill_does_not_change_the_members(extended, run, hearts, warm_command, tmp_path):
    start = ("train", hearts, "--output", run.path, "--jsonl")
    process = warm_command.start(*start, "--add-cycle", folder=tmp_path)
    process.wait_for('"epoch": 9')
    process.kill()
    refused = warm_command.run(*start, "--add-cycle", folder=tmp_path)
    assert refused.code == 1
    assert refused.errors == f"Error: {NOT_FINISHED}\n"
    other = warm_command.run(*start, "--resume", "--augmentation", "wide", folder=tmp_path)
    assert (other.code, "--augmentation nnunet" in other.errors) == (1, True)
    done = warm_command.run(*start, "--resume", folder=tmp_path)
    assert done.code == 0, done.errors
    found, expected = read_record(run.record), read_record(extended.record)
    assert found.members("0") == expected.members("0")
    assert [row["learning_rate"] for row in epochs(run)] == [
        row["learning_rate"] for row in epochs(extended)
    ]
    assert (run.fold("0") / "checkpoint_final.pth").exists()
    assert not (run.fold("0") / "checkpoint_latest.pth").exists()


@pytest.mark.parametrize("flag", ["--resume", "--add-cycle"])
def test_a_kill_before_the_record_loses_nothing(flag, run, hearts, warm_command, tmp_path):
    final = run.fold("0") / "checkpoint_final.pth"
    final.rename(final.with_name("checkpoint_latest.pth"))
    start = ("train", hearts, "--output", run.path, "--jsonl", flag)
    done = warm_command.run(*start, folder=tmp_path)
    assert done.code == 0, done.errors
    assert final.exists()
    assert len(epochs(run)) == (9 if flag == "--resume" else 12)


def test_an_unfinished_training_is_refused(planned_run, hearts, warm_command, tmp_path):
    run = RunFolder(shutil.copytree(planned_run, tmp_path / "run"))
    refused = add_cycle(warm_command, hearts, run, tmp_path)
    assert refused.code == 1
    assert refused.errors == f"Error: {NOT_FINISHED}\n"


@pytest.mark.parametrize("flag", ["--add-cycle", "--resume"])
def test_a_missing_state_loses_no_member(flag, finished, hearts, warm_command, tmp_path):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    (run.fold("0") / "checkpoint_final.pth").unlink()
    members = sorted(run.members("0").iterdir())
    record = run.record.read_bytes()
    refused = warm_command.run(
        "train", hearts, "--output", run.path, "--fold", "0", flag, folder=tmp_path
    )
    assert refused.code == 1
    assert "checkpoint_final.pth" in refused.errors
    assert sorted(run.members("0").iterdir()) == members
    assert run.record.read_bytes() == record


# A dataset that has grown


@pytest.fixture
def grown(hearts, finished, tmp_path) -> Path:
    """The dataset with a new patient, and a new frame of a patient held back for validation."""
    folder = Path(shutil.copytree(hearts, tmp_path / hearts.name))
    held_back = read_record(finished.record).folds["0"]["validation_cases"][0]
    other = make_dataset(tmp_path / "other", patients=1, frames=1)
    for name in ("patient900_frame01", held_back.replace("frame01", "frame77")):
        for kind, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
            source = other / kind / f"patient001_frame01{ending}"
            shutil.copyfile(source, folder / kind / f"{name}{ending}")
    return folder


def test_a_grown_corrected_and_renamed_dataset_is_trained_on(grown, run, warm_command, tmp_path):
    before = read_record(run.record)
    correct(grown / "labelsTr" / f"{before.training_cases('0')[0]}.nii.gz")
    renamed = grown.rename(tmp_path / "Dataset102_More")
    start = ("train", renamed, "--output", run.path, "--jsonl")
    process = warm_command.start(*start, "--add-cycle", "--augmentation", "wide", folder=tmp_path)
    process.wait_for('"epoch": 9')
    process.kill()
    moved = renamed.rename(tmp_path / "Dataset103_Moved")
    start = ("train", moved, *start[2:], "--resume")
    done = warm_command.run(*start, folder=tmp_path)
    assert done.code == 0, done.errors
    assert [row["epoch"] for row in epochs(run)] == list(range(12))
    record = read_record(run.record)
    # New cases of patients held back for validation are not used.
    assert record.training_cases("0") == [*before.training_cases("0"), "patient900_frame01"]
    assert record.folds["0"]["validation_cases"] == before.folds["0"]["validation_cases"]
    assert record.folds["0"]["training_cases"] == before.folds["0"]["training_cases"]
    split = json.loads(next(run.workspace.glob("preprocessed/*/splits_final.json")).read_text())
    assert split[0]["train"] == record.training_cases("0")
    assert next(run.workspace.glob("preprocessed/*/*/patient900_frame01.*"))
    assert len(list(run.workspace.glob("preprocessed/*"))) == 1  # the name at the first start
    assert record.members("0")[-1].cycle == 3
    assert record.added_cycles("0")[0]["dataset"]["name"] == "Dataset102_More"
    assert (record.augmentation, record.augmentation_of("0")) == ("nnunet", "wide")
    # From now on a resume is compared with this dataset.
    again = warm_command.run(*start, folder=tmp_path)
    assert again.code == 0, again.errors


@pytest.mark.parametrize("fault", ["label", "plans"])
def test_a_failure_before_the_cycle_changes_nothing(
    fault, grown, hearts, run, warm_command, tmp_path
):
    before = read_record(run.record)
    if fault == "label":
        file = grown / "labelsTr" / "patient900_frame01.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.full((48, 40, 4), 9, np.uint8), np.eye(4)), file)
    else:
        content = json.loads(run.plans.read_text())
        content["configurations"]["2d"]["architecture"]["arch_kwargs"]["unknown"] = 1
        run.plans.write_text(json.dumps(content))
    failed = add_cycle(warm_command, grown, run, tmp_path)
    assert failed.code == 1
    assert failed.errors.count("\n") == 1
    assert read_record(run.record) == before
    assert (run.fold("0") / "checkpoint_final.pth").exists()


@pytest.mark.parametrize("fault", ["validation case changed", "case removed"])
def test_a_changed_validation_is_refused(fault, grown, run, warm_command, tmp_path):
    record = read_record(run.record)
    if fault == "case removed":
        case = record.training_cases("0")[0]
        (grown / "labelsTr" / f"{case}.nii.gz").unlink()
    else:
        case = record.folds["0"]["validation_cases"][0]
        correct(grown / "labelsTr" / f"{case}.nii.gz")
    refused = add_cycle(warm_command, grown, run, tmp_path)
    assert refused.code == 1
    change = "removed" if fault == "case removed" else "changed"
    assert f"(1 {change} ({case}))" in refused.errors
    assert read_record(run.record) == record


def correct(file):
    image = nibabel.load(file)
    voxels = np.asarray(image.dataobj).copy()
    voxels[:2, :2] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), file)


def test_other_structures_are_refused(grown, run, warm_command, tmp_path):
    content = json.loads((grown / "dataset.json").read_text())
    content["labels"] = {"background": 0, "LV": 1, "MYO": 2, "RV": 3}
    (grown / "dataset.json").write_text(json.dumps(content))
    refused = add_cycle(warm_command, grown, run, tmp_path)
    assert refused.code == 1
    assert ", ".join(f"{value} {name}" for name, value in LABELS.items()) in refused.errors
