"""Trainings in real processes that are killed, stopped or fail, and then resumed."""

import errno
import json
import os
import random
import re
import shutil
import signal

import pytest
import torch

from napari_bayes_nnunet.app.messages import JobEnded, from_line
from napari_bayes_nnunet.app.segmentation.calibration import fitted_temperature
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.app.training.job import RUN_IS_BUSY
from napari_bayes_nnunet.app.training.run import CHECKING_LABELS
from napari_bayes_nnunet.app.training.terminal import STOPPED_TRAINING
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.problems import Action, Remedy, statement
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.nnunet.trainer import MEMBERS_USABLE

SCHEDULE = RestartSchedule(epochs=12, gamma=0.5, restart_first_cycle=False)
SELECTION = MemberSelection(per_cycle=30, step=1)
TINY = ("--preset", "demo", "--iterations-per-epoch", 2, "--batch-size", 2, "--seed", 3)
FLAGS = (*TINY, "--epochs", 12, "--gamma", 0.5)
TOO_LARGE = os.strerror(errno.EFBIG)


@pytest.fixture
def run(planned_run, tmp_path):
    """A copy of a run that was only planned."""
    return RunFolder(shutil.copytree(planned_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def uninterrupted(planned_run, hearts, warm_command, tmp_path_factory):
    """A finished training with ``FLAGS``, without any interruption."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    run = RunFolder(shutil.copytree(planned_run, folder / "run"))
    done = warm_command.run("train", hearts, "--output", run.path, *FLAGS, folder=folder)
    assert done.code == 0, done.errors
    return run


def epochs(run):
    """Return the epochs in progress.jsonl."""
    lines = [json.loads(line) for line in run.progress.read_text().splitlines()]
    return [line for line in lines if line["kind"] == "epoch"]


def timeless(rows):
    """Return the reports without times and memory, which differ between runs."""
    return [
        {k: v for k, v in row.items() if "seconds" not in k and "memory" not in k} for row in rows
    ]


def assert_usable(run):
    """Assert that every listed member is complete; return the members."""
    members = read_record(run.record).members("0")
    for member in members:
        content = torch.load(run.path / member.file, weights_only=True)
        assert all(bool(t.isfinite().all()) for t in content["network_weights"].values())
        assert (run.path / member.file).stat().st_size == member.bytes
    return members


def assert_calibrated(run):
    """Assert that methods which are compared have temperatures for the members so far."""
    folder = find_ensemble(run.path)
    for method in ("multi", "single", "vanilla"):
        assert fitted_temperature(folder, SegmentationSettings(method=method)) > 0


def test_kept_epochs_and_rates_follow_the_schedule(uninterrupted):
    members = assert_usable(uninterrupted)
    assert [m.epoch for m in members] == list(SELECTION.epochs(SCHEDULE))
    assert [m.epoch for m in members] == [2, 3, 6, 7, 10, 11]
    assert [row["learning_rate"] for row in epochs(uninterrupted)] == [
        SCHEDULE.learning_rate(epoch) for epoch in range(12)
    ]
    assert [m.cycle for m in members] == [0] * 2 + [1] * 2 + [2] * 2


@pytest.mark.parametrize("kills", [3, pytest.param(15, marks=pytest.mark.slow)])
def test_random_kills_do_not_change_the_members(
    kills, uninterrupted, run, hearts, warm_command, tmp_path
):
    rng = random.Random(5)  # a resume before and after the first restart
    start = ("train", hearts, "--output", run.path, "--jsonl")
    flags, killed = FLAGS, 0
    for _ in range(kills):
        process = warm_command.start(*start, *flags, folder=tmp_path)
        lines = rng.randint(1, 4)
        process.wait(lambda p=process, n=lines: p.output.count("\n") >= n)
        process.wait_a_moment(rng.uniform(0, 0.15))
        process.kill()
        assert process.code in (0, -signal.SIGKILL), process.errors
        killed += process.code != 0
        assert_usable(run)
        flags = ("--resume",)
    done = warm_command.run(*start, "--resume", folder=tmp_path)
    assert done.code == 0, done.errors
    assert killed >= kills // 3

    expected, found = read_record(uninterrupted.record), read_record(run.record)
    assert found.folds == expected.folds  # epochs, rates and checksums of the members
    assert found.validation == expected.validation
    assert timeless(epochs(run)) == timeless(epochs(uninterrupted))
    assert list(run.path.rglob(".*")) == []  # nothing half written
    assert_same_files(run.fold("0"), uninterrupted.fold("0"))


def assert_same_files(folder, other):
    logs = ("training_log", "debug", "progress")
    names = [
        {f.name for f in path.iterdir() if not f.name.startswith(logs)} for path in (folder, other)
    ]
    assert names[0] == names[1] == {"checkpoint_best.pth", "checkpoint_final.pth", "members"}


def test_a_stopped_training_resumes_with_next_epoch(
    uninterrupted, run, hearts, warm_command, tmp_path
):
    start = ("train", hearts, "--output", run.path, "--jsonl")
    process = warm_command.start(*start, *FLAGS, folder=tmp_path)
    process.wait_for('"epoch": 4')
    process.send(signal.SIGTERM)
    process.wait()
    assert process.code == 0
    last = epochs(run)[-1]["epoch"]
    assert 4 <= last < 11
    assert process.errors == f"{stopped(hearts, run)}\n"
    assert ended(run) == ("stopped", process.errors.strip())
    assert (run.fold("0") / "checkpoint_latest.pth").exists()
    assert_calibrated(run)

    again = warm_command.run(*start, "--resume", folder=tmp_path)
    assert again.code == 0, again.errors
    assert json.loads(again.output.splitlines()[0])["epoch"] == last + 1  # nothing was lost
    assert timeless(epochs(run)) == timeless(epochs(uninterrupted))
    assert ended(run)[0] == "finished"
    assert_calibrated(run)  # with the members of then
    validation = (read_record(each.record).validation for each in (run, uninterrupted))
    assert next(validation) == next(validation)


def test_a_renamed_copy_of_the_dataset_resumes(run, hearts, warm_command, tmp_path):
    flags = (*TINY, "--epochs", 6, "--jsonl")
    start = ("train", hearts, "--output", run.path)
    process = warm_command.start(*start, *flags, folder=tmp_path)
    process.wait_for('"epoch": 2')
    process.kill()
    copy = shutil.copytree(hearts, tmp_path / "Dataset101_Copy")
    again = ("train", copy, "--output", run.path, "--resume", "--jsonl")
    assert warm_command.run(*again, folder=tmp_path).code == 0
    shutil.rmtree(run.workspace)  # as on a computer that only got the run
    (run.fold("0") / "checkpoint_final.pth").rename(run.fold("0") / "checkpoint_latest.pth")
    done = warm_command.run(*again, folder=tmp_path)
    assert done.code == 0, done.errors
    assert [row["epoch"] for row in epochs(run)] == list(range(6))


def test_an_interrupt_finishes_the_epoch(run, hearts, warm_command, tmp_path):
    start = ("train", hearts, "--output", run.path, "--jsonl")
    process = warm_command.start(*start, *FLAGS, folder=tmp_path)
    process.wait_for('"epoch": 0')
    process.send_to_all(signal.SIGINT)
    process.wait()
    assert process.code == 0
    assert process.errors == f"{stopped(hearts, run)}\n"
    assert ended(run)[0] == "stopped"
    assert epochs(run)[-1]["epoch"] < 11


def test_a_second_signal_ends_it_at_once(run, hearts, warm_command, tmp_path):
    process = warm_command.start("train", hearts, "--output", run.path, *FLAGS, folder=tmp_path)
    process.wait(lambda: run.progress.exists() and '"epoch": 0' in run.progress.read_text())
    process.send(signal.SIGSTOP)  # both signals arrive within one epoch
    process.send(signal.SIGTERM)
    process.send(signal.SIGCONT)
    process.wait_a_moment(0.01)
    process.send(signal.SIGINT)
    process.wait()
    assert process.code in (0, -signal.SIGINT)  # 0 where the epoch ended in between
    assert_usable(run)


def continuation(dataset, run):
    return f"bayes-nnunet train '{dataset}' --output {run.path} --fold 0 --resume"


def stopped(dataset, run):
    remedy = Remedy(Action.RESUME_RUN, {"command": continuation(dataset, run)})
    return statement(STOPPED_TRAINING, remedy)


def last_word(run):
    """Return the last message, which is the end of the training."""
    last = from_line(run.progress.read_text().splitlines()[-1])
    assert isinstance(last, JobEnded)
    return last


def ended(run):
    """Return outcome and text of the last message."""
    last = last_word(run)
    return last.outcome, last.text


@pytest.mark.parametrize(
    "seconds", [0, *(pytest.param(later, marks=pytest.mark.slow) for later in (1, 2))]
)
def test_an_interrupt_while_planning_ends_at_once(seconds, hearts, warm_command, tmp_path):
    run = RunFolder(tmp_path / "run")
    process = warm_command.start("train", hearts, "--output", run.path, *FLAGS, folder=tmp_path)
    process.wait((run.workspace / "preprocessed").exists)
    process.wait_a_moment(seconds)
    process.send_to_all(signal.SIGINT)
    process.wait(seconds=60)  # planning takes longer only where nobody interrupts it
    assert process.code == 0
    outcome, text = ended(run)
    assert (outcome, process.errors) == ("stopped", text + "\n")
    # On a fast machine planning may be over by then.
    begun = run.record.exists()
    (remedy,) = last_word(run).sentence.remedies
    assert remedy.action is (Action.RESUME_RUN if begun else Action.START_AGAIN)
    process.wait_for_children()


def test_a_second_training_in_a_folder_is_refused(run, hearts, warm_command, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    start = ("train", hearts, "--output", run.path, "--jsonl")
    first = warm_command.start(*start, *FLAGS, folder=tmp_path / "first")
    first.wait_for('"epoch": 0')
    first.send(signal.SIGSTOP)  # else it may have finished before the second has started
    second = warm_command.run(*start, "--resume", folder=tmp_path / "second")
    assert second.code == 1
    assert second.errors == f"Error: {RUN_IS_BUSY.format(run=run.path)}\n"
    assert '"failed"' not in run.progress.read_text()
    first.kill()
    third = warm_command.start(*start, "--resume", folder=tmp_path / "second")
    third.wait_for('"epoch": 3')  # the lock ended with the killed process
    third.kill()


def test_a_nan_loss_is_reported_in_one_line(run, hearts, warm_command, tmp_path):
    flags = (*TINY, "--epochs", 6, "--gamma", 0.5, "--restart-lr", 1e30)
    failed = warm_command.run("train", hearts, "--output", run.path, *flags, folder=tmp_path)
    assert failed.code == 1
    sentence = failed.errors.removeprefix("Error: ").strip()
    assert sentence.count("\n") == 0
    assert all(word in sentence for word in ("epoch 2", "1e+30", "--output", "--restart-lr"))
    assert "Traceback" not in failed.errors + failed.output
    assert "Traceback" in run.log.read_text()
    assert ended(run) == ("failed", sentence)
    assert [m.epoch for m in assert_usable(run)] == [1]


def test_an_unforeseen_error_names_the_log(run, hearts, warm_command, tmp_path):
    broken = {"nnUNet_wandb_enabled": "many"}  # nnU-Net expects a number
    start = ("train", hearts, "--output", run.path)
    failed = warm_command.run(*start, *FLAGS, folder=tmp_path, variables=broken)
    assert failed.code == 1
    assert failed.errors.count("\n") == 1
    assert "Traceback" in run.log.read_text()
    last = last_word(run)
    assert (last.outcome, failed.errors) == ("failed", f"Error: {last.text}\n")
    assert last.sentence.values["log"] == str(run.log)


def test_a_training_resumes_after_a_full_disk(uninterrupted, run, hearts, warm_command, tmp_path):
    sizes = [f.stat().st_size for f in uninterrupted.fold("0").rglob("*.pth")]
    limit = (min(sizes) + max(sizes)) // 2  # a member fits, the saved state does not
    start = ("train", hearts, "--output", run.path)
    failed = warm_command.run(*start, *FLAGS, folder=tmp_path, largest_file=limit)
    assert failed.code == 1
    assert all(word in failed.errors for word in ("checkpoint_latest.pth", TOO_LARGE, "--resume"))
    assert ended(run)[0] == "failed"
    assert not list(run.fold("0").glob("*.pth"))
    done = warm_command.run(*start, "--resume", folder=tmp_path)
    assert done.code == 0, done.errors
    assert read_record(run.record).folds == read_record(uninterrupted.record).folds


def test_a_full_disk_before_the_first_member(run, hearts, warm_command, tmp_path):
    flags = (*TINY, "--epochs", 3, "--gamma", 0)
    start = ("train", hearts, "--output", run.path, *flags)
    failed = warm_command.run(*start, folder=tmp_path, largest_file=400_000)
    assert failed.code == 1
    assert all(word in failed.errors for word in ("epoch_0000.pth", TOO_LARGE, "--resume"))
    assert MEMBERS_USABLE.strip() not in failed.errors


def test_warnings_come_before_planning(run, hearts, warm_command, tmp_path):
    data = shutil.copytree(hearts, tmp_path / "data")
    image = data / "imagesTr" / "patient001_frame01_0000.nii.gz"
    shutil.copyfile(image, image.with_name("patient900_frame01_0000.nii.gz"))
    flags = (*TINY, "--epochs", 3, "--members-per-cycle", 7, "--patient", "^(patient00[1-3])")
    process = warm_command.start(
        "train", data, "--output", tmp_path / "run", *flags, folder=tmp_path
    )
    process.wait_for("Planning")
    process.kill()
    process.wait_for_children()
    lines = process.output.splitlines()
    assert lines[0] == CHECKING_LABELS
    assert "patient004_frame01, patient004_frame02" in lines[1]
    assert re.findall(r"\d+", lines[2])[1:] == ["1", "7"]  # members that are kept and requested
    assert "patient900_frame01_0000.nii.gz" in lines[3]


def test_second_stop_request_skips_the_calibration(run, hearts, warm_command, tmp_path):
    process = warm_command.start("train", hearts, "--output", run.path, *FLAGS, folder=tmp_path)
    # The first member is that of epoch 2.
    process.wait(lambda: run.progress.exists() and '"epoch": 3' in run.progress.read_text())
    run.stop.touch()
    process.wait_for("validation case 1 of")
    run.stop.touch()
    process.wait()
    assert process.code == 0
    assert process.errors == f"{stopped(hearts, run)}\n"
    assert ended(run)[0] == "stopped"
    assert epochs(run)[-1]["epoch"] < 11
    assert read_record(run.record).members("0")
    assert read_record(run.record).validation == {}
    assert not run.stop.exists()


def test_all_cases_are_trained_on_without_a_validation(run, hearts, warm_command, tmp_path):
    flags = (*TINY, "--epochs", 3, "--fold", "all", "--jsonl")
    done = warm_command.run("train", hearts, "--output", run.path, *flags, folder=tmp_path)
    assert done.code == 0, done.errors
    assert [(row["val_loss"], row["pseudo_dice"]) for row in epochs(run)] == [(None, {})] * 3
    record = read_record(run.record)
    assert record.validation == {}
    assert len(record.folds["all"]["training_cases"]) == 8
    assert record.folds["all"]["validation_cases"] == []
    assert [m.epoch for m in record.members("all")] == [0, 1, 2]
    assert not (run.fold("all") / "checkpoint_best.pth").exists()


def test_a_second_fold_has_the_first_settings(run, hearts, warm_command, tmp_path):
    start = ("train", hearts, "--output", run.path)
    flags = (*TINY, "--epochs", 3)
    assert warm_command.run(*start, *flags, folder=tmp_path).code == 0
    before = read_record(run.record)
    done = warm_command.run(*start, "--fold", 1, folder=tmp_path)
    assert done.code == 0, done.errors
    after = read_record(run.record)
    assert list(after.folds) == ["0", "1"]
    assert after.folds["0"] == before.folds["0"]
    assert after.schedule == before.schedule
    assert after.seed == before.seed
    assert [m.epoch for m in after.members("1")] == [0, 1, 2]
    assert set(after.validation) == {"0", "1"}
    held_back = [set(after.folds[fold]["validation_cases"]) for fold in "01"]
    assert held_back[0].isdisjoint(held_back[1])
