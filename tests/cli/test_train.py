"""Tests of ``bayes-nnunet train`` and ``schedule``, as a user calls them.

The shared run has a Python of its own.
"""

import csv
import io
import json
import os
import re
import select
import shutil
import signal
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from napari_bayes_nnunet.app.messages import FAILED, StageStarted, from_line
from napari_bayes_nnunet.app.training.request import NO_CASCADES, OTHER_PROGRAM, STARTED_WITH
from napari_bayes_nnunet.app.training.run import CASES_DONE
from napari_bayes_nnunet.app.training.terminal import FINISHED_FOLD
from napari_bayes_nnunet.app.training.validation import MEASURING_CASE
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.ensemble.schedule import MOST_EPOCHS, MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.ensemble.training_settings import PRESETS
from napari_bayes_nnunet.core.problems import COMMAND_LINE, Action
from napari_bayes_nnunet.io.dataset.raw_dataset import TOO_FEW_PATIENTS
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.run_folder import (
    RunFolder,
    read_record,
    write_record,
)
from napari_bayes_nnunet.io.files.checksum import sha256

from ..helpers.data.hearts import LABELS, make_dataset

KEYS = {
    *("epoch", "cycle", "learning_rate", "train_loss", "val_loss", "pseudo_dice", "seconds"),
    *("eta_seconds", "member"),
}
MEMBERS = [2, 3, 6, 7, 10, 11]
FOLD_FLAGS = ("--resume", "--fold")


def refusal(*arguments):
    """Return the single line that refuses a request."""
    result = CliRunner().invoke(main, ["train", *map(str, arguments)])
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").strip()


def advice(action):
    """Return the sentence of the command line for an action."""
    phrase = COMMAND_LINE[action]
    return f"{phrase[0].upper()}{phrase[1:]}."


def test_refusal_with_json_lines_is_typed(tmp_path):
    flags = ("--output", str(tmp_path / "run"), "--jsonl")
    result = CliRunner().invoke(main, ["train", str(tmp_path / "none"), *flags])
    end = from_line(result.stdout)
    assert (result.exit_code, end.outcome) == (1, FAILED)
    assert end.sentence.values == {"folder": str(tmp_path / "none"), "missing": "dataset.json"}
    assert str(end.sentence) in result.stderr


@pytest.mark.parametrize("flags", [("--fold", ""), ("--epochs", 7)])
def test_wrong_option_with_json_lines_is_reported(flags, tmp_path):
    words = (tmp_path, "--output", tmp_path / "run", *flags)
    plain = CliRunner().invoke(main, ["train", *map(str, words)])
    assert (plain.exit_code, plain.stdout) == (2, "")
    result = CliRunner().invoke(main, ["train", *map(str, words), "--jsonl"])
    end = from_line(result.stdout)
    assert (result.exit_code, end.outcome) == (2, FAILED)
    assert end.text in result.stderr
    assert result.stderr == plain.stderr


# The shared run


def test_stdout_is_one_json_line_per_epoch(trained_run):
    rows = list(map(json.loads, (trained_run.parent / "stdout.txt").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == list(range(12))
    assert [row["cycle"] for row in rows] == [0] * 4 + [1] * 4 + [2] * 4
    assert [row["epoch"] for row in rows if row["member"]] == MEMBERS
    for row in rows:
        assert row.keys() >= KEYS
        assert row["pseudo_dice"].keys() == {"RV", "MYO", "LV"}
        assert row["seconds"] > 0
    assert rows[-1]["eta_seconds"] == 0
    assert (trained_run.parent / "stderr.txt").read_text() == (
        FINISHED_FOLD.format(fold="0", run=trained_run) + "\n"
    )
    picture = (trained_run / "fold_0" / "progress.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_progress_file_has_the_printed_lines(trained_run):
    lines = (trained_run / "progress.jsonl").read_text().splitlines()
    printed = (trained_run.parent / "stdout.txt").read_text().splitlines()
    assert [line for line in lines if json.loads(line)["kind"] == "epoch"] == printed
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds.index("started") < kinds.index("epoch")
    assert kinds[-1] == "ended"


def test_record_has_the_settings_and_members(trained_run):
    record = read_record(trained_run / "ensemble.json")
    schedule = RestartSchedule(epochs=12, gamma=0.5, restart_first_cycle=False)
    assert record.name == "small run"
    assert record.schedule == schedule
    assert record.selection == MemberSelection(per_cycle=30, step=1)
    assert (record.configuration, record.preset, record.seed) == ("2d", "demo", 7)
    assert (record.batch_size, record.iterations_per_epoch) == (4, 4)
    assert record.labels == LABELS
    assert record.licence == "CC0-1.0"
    assert record.software.keys() == {"torch", "nnunetv2"}
    assert record.command.startswith("bayes-nnunet train ")
    for member in record.members("0"):
        assert member.learning_rate == schedule.learning_rate(member.epoch)
        assert member.sha256 == sha256(trained_run / member.file)
    assert [m.epoch for m in record.members("0")] == MEMBERS


def test_patients_are_never_split(trained_run):
    fold = read_record(trained_run / "ensemble.json").folds["0"]
    patients = [{c[:10] for c in fold[name]} for name in ("training_cases", "validation_cases")]
    assert patients[0].isdisjoint(patients[1])
    assert [len(fold[name]) for name in ("training_cases", "validation_cases")] == [6, 2]
    assert (
        json.loads((trained_run / "splits_final.json").read_text())[0]["val"]
        == (fold["validation_cases"])
    )


def test_planning_and_preprocessing_count_their_cases(trained_run):
    lines = (trained_run / "progress.jsonl").read_text().splitlines()
    messages = [from_line(line) for line in lines]
    cases = len(read_record(trained_run / "ensemble.json").dataset["cases"])
    for step in CASES_DONE.values():
        counts = [
            message.done
            for message in messages
            if isinstance(message, StageStarted)
            and message.text == step.format(done=message.done, total=cases)
        ]
        assert counts[0] == 0
        assert counts[-1] == cases
        assert counts == sorted(counts)


def test_validation_dice_is_measured(trained_run):
    measured = read_record(trained_run / "ensemble.json").validation["0"]
    assert (measured["cases"], measured["members"]) == (2, 6)
    assert set(measured["dice"]) == {"RV", "MYO", "LV"}
    assert all(0 <= score <= 1 for score in measured["dice"].values())


def test_members_are_small_safe_and_found(trained_run):
    folder = find_ensemble(trained_run)
    assert [m.epoch for m in folder.usable_members] == MEMBERS
    state = trained_run / "fold_0" / "checkpoint_final.pth"
    for member in folder.members:
        content = torch.load(member.path, weights_only=True)
        assert {t.dtype for t in content["network_weights"].values()} == {torch.float16}
        assert member.bytes < state.stat().st_size / 3


def test_nnunets_own_predictor_reads_a_member(trained_run, hearts, tmp_path):
    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(trained_run), (0,), "members/epoch_0011.pth")
    image = hearts / "imagesTr" / "patient001_frame01_0000.nii.gz"
    predictor.predict_from_files_sequential([[str(image)]], [str(tmp_path / "labels.nii.gz")])
    labels = np.asarray(nibabel.load(tmp_path / "labels.nii.gz").dataobj)
    assert set(np.unique(labels)) <= set(LABELS.values())
    assert labels.any()


def test_resuming_a_finished_training_changes_nothing(trained_run, hearts, warm_command, tmp_path):
    """The settings that it was started with may be repeated."""
    files = {f: f.stat().st_mtime_ns for f in trained_run.rglob("*.pth")}
    record = (trained_run / "ensemble.json").read_text()
    flags = ["--preset", "demo", "--epochs", 12, "--gamma", 0.5, "--batch-size", 4, "--seed", 7]
    resume = ("train", hearts, "--output", trained_run, "--resume", "--jsonl")
    again = warm_command.run(*resume, *flags, folder=tmp_path)
    assert (again.code, again.output) == (0, "")
    assert again.errors.startswith(FINISHED_FOLD.format(fold="0", run=trained_run))
    assert {f: f.stat().st_mtime_ns for f in trained_run.rglob("*.pth")} == files
    assert (trained_run / "ensemble.json").read_text() == record


@pytest.fixture
def unmeasured_run(trained_run, tmp_path):
    """Return a copy of the run that was killed before its validation range was measured."""
    run = RunFolder(tmp_path / "run")
    shutil.copytree(trained_run, run.path, ignore=shutil.ignore_patterns("nnunet_data"))
    record = read_record(run.record)
    write_record(run.record, replace(record, validation={}))
    return run


def test_resuming_measures_a_missing_validation(
    unmeasured_run, trained_run, hearts, warm_command, tmp_path
):
    resume = ("train", hearts, "--output", unmeasured_run.path, "--resume")
    stopped = warm_command.start(*resume, folder=tmp_path)
    stopped.wait_for(MEASURING_CASE.format(number=1, cases=2))
    stopped.send(signal.SIGTERM)
    stopped.wait()
    assert stopped.code == 0
    assert MEASURING_CASE.format(number=2, cases=2) not in stopped.output
    command = COMMAND_LINE[Action.RESUME_RUN].format(command="bayes-nnunet train ")
    assert command in stopped.errors.lower()
    assert read_record(unmeasured_run.record).validation == {}

    done = warm_command.run(*resume, folder=tmp_path)
    assert done.code == 0, done.errors
    first, second, *_ = done.output.splitlines()
    assert first == MEASURING_CASE.format(number=1, cases=2)
    time_left = second.removeprefix(MEASURING_CASE.format(number=2, cases=2))
    assert re.fullmatch(r", \d+ (s|min)( \d+ s)? left", time_left)
    expected = read_record(trained_run / "ensemble.json").validation
    assert read_record(unmeasured_run.record).validation == expected


def state_of(run):
    """Return the times of change of the files that describe a run."""
    return {file: file.stat().st_mtime_ns for file in run.glob("*.js*")}


@pytest.mark.parametrize(
    ("flags", "started_with", "given"),
    [
        (["--resume", "--epochs", 15], 12, 15),
        (["--resume", "--gamma", 0.8], 0.5, 0.8),
        (["--resume", "--batch-size", 2], 4, 2),
        (["--resume", "--preset", "paper"], "demo", "paper"),
        (["--resume", "--member-step", 2], 1, 2),
        (["--resume", "--seed", 1], 7, 1),
        (["--resume", "--configuration", "3d_fullres"], "2d", "3d_fullres"),
        (["--fold", "1", "--iterations-per-epoch", 9], 4, 9),
        (["--resume", "--restart-first-cycle"], "off", "on"),
    ],
)
def test_changed_setting_of_run_is_refused(flags, started_with, given, trained_run, hearts):
    (setting,) = (flag for flag in flags if str(flag).startswith("--") and flag not in FOLD_FLAGS)
    before = state_of(trained_run)
    sentence = STARTED_WITH.format(
        run=trained_run, setting=setting, started_with=started_with, given=given
    )
    assert refusal(hearts, "--output", trained_run, *flags).startswith(sentence)
    assert state_of(trained_run) == before


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ([], ["fold 0", advice(Action.RESUME).rstrip(".")]),
        (["--resume", "--patient", "(.*)"], ["folds", "--patient"]),
        (["--resume", "--fold", "1"], ["folds 0", "--fold"]),
    ],
)
def test_changed_folds_of_run_are_refused(flags, parts, trained_run, hearts):
    before = state_of(trained_run)
    sentence = refusal(hearts, "--output", trained_run, *flags)
    assert sentence.startswith(str(trained_run))
    assert all(part in sentence for part in parts), sentence
    assert state_of(trained_run) == before


def test_changed_dataset_is_refused_with_the_difference(trained_run, hearts, tmp_path):
    changed = tmp_path / hearts.name
    shutil.copytree(hearts, changed)
    label = changed / "labelsTr" / "patient002_frame01.nii.gz"
    shutil.copyfile(changed / "labelsTr" / "patient003_frame01.nii.gz", label)
    for folder, name in (
        ("labelsTr", "patient009_frame01"),
        ("imagesTr", "patient009_frame01_0000"),
    ):
        shutil.copyfile(
            changed / folder / name.replace("009", "001").__add__(".nii.gz"),
            changed / folder / f"{name}.nii.gz",
        )
    (changed / "labelsTr" / "patient004_frame02.nii.gz").unlink()
    sentence = refusal(changed, "--output", trained_run, "--resume")
    assert "1 added (patient009_frame01)" in sentence
    assert "1 removed (patient004_frame02)" in sentence
    assert "1 changed (patient002_frame01)" in sentence


# Refused requests


@pytest.mark.parametrize(
    ("data", "output", "flags", "parts"),
    [
        ("none", "run", [], ["none", "dataset.json"]),
        ("one patient", "run", [], ["Set --fold to all"]),
        ("hearts", "run", ["--resume"], [advice(Action.START_NEW)]),
        ("hearts", "run", ["--add-cycle"], [advice(Action.START_NEW)]),
        ("hearts", "hearts", [], [advice(Action.OTHER_OUTPUT)]),
        ("hearts", "file", [], ["{output}", advice(Action.OTHER_OUTPUT)]),
        (
            *("hearts", "model", []),
            [
                f"{OTHER_PROGRAM} ".format(run="{output}", record="ensemble.json"),
                advice(Action.OTHER_OUTPUT),
            ],
        ),
        ("hearts", "run", ["--configuration", "3d_cascade_fullres"], [NO_CASCADES]),
        ("hearts", "run", ["--patient", "("], ["'('"]),
        (
            *("hearts", "run", ["--patient", "pat"]),
            [TOO_FEW_PATIENTS.format(patient="pat"), "Set --fold to all"],
        ),
        ("hearts", "run", ["--patient", "^(heart)"], ["^(heart)", "patient001_frame01"]),
        ("hearts", "run", ["--fold", "4"], ["fold 4", "from 0 to 3."]),
        ("hearts", "run", ["--split", "nowhere.json"], ["nowhere.json"]),
    ],
)
def test_impossible_request_is_refused(data, output, flags, parts, hearts, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "plans.json").write_text("{}")
    if data == "one patient":
        make_dataset(tmp_path / data, patients=1)
    places = {name: hearts if name == "hearts" else tmp_path / name for name in (data, output)}
    sentence = refusal(places[data], "--output", places[output], *flags)
    for part in parts:
        assert part.replace("{output}", str(places[output])) in sentence
    assert not (tmp_path / "run").exists()


def test_option_out_of_range_is_usage_error(hearts, tmp_path):
    labels = (["--labels", text] for text in ("LV", "x=LV", "1=LV,1=RV"))
    numbers = (
        ["--batch-size", "0"],
        ["--batch-size", str(2**31)],
        ["--epochs", "10"],
        ["--seed", "-1"],
        ["--fold", "7"],
    )
    for flags in (*numbers, *labels):
        result = CliRunner().invoke(
            main, ["train", str(hearts), "--output", str(tmp_path / "run"), *flags]
        )
        assert result.exit_code == 2, flags
        assert not (tmp_path / "run").exists()


# Other datasets


def test_read_only_channels_in_3d_are_trained(warm_command, tmp_path):
    data = make_dataset(tmp_path / "Dataset123_Two", patients=3, frames=1, channels=2)
    for path in (*data.rglob("*"), data):
        path.chmod(0o555 if path.is_dir() else 0o444)
    flags = ["--configuration", "3d_fullres", "--preset", "demo", "--epochs", 3, "--seed", 1]
    flags += ["--iterations-per-epoch", 1, "--batch-size", 2, "--licence", "CC BY 4.0"]
    start = ("train", "Dataset123_Two", "--output", "a/b", "--fold", 2)
    done = warm_command.run(*start, *flags, folder=tmp_path, cwd=tmp_path)
    assert done.code == 0, done.errors
    record = read_record(tmp_path / "a" / "b" / "ensemble.json")
    assert (record.channels, record.licence) == (["cine 0", "cine 1"], "CC BY 4.0")
    assert [m.epoch for m in record.members("2")] == [0, 1, 2]
    assert record.validation["2"]["cases"] == 1
    lines = done.output.splitlines()
    assert numbers_in(lines[1])[-2:] == [1, 30]  # members kept in a cycle, and wanted
    fold = next(number for number, line in enumerate(lines) if line.startswith("Fold "))
    assert numbers_in(lines[fold]) == [2, 2, 2, 1, 1]  # fold; training, validation cases, patients
    assert numbers_in(lines[fold + 1])[:4] == [1, 3, 1, 3]  # cycles, epochs


def numbers_in(line):
    """Return the whole numbers in a line."""
    return list(map(int, re.findall(r"\d+", line)))


def test_training_survives_a_closed_terminal(planned_run, hearts, warm_command, tmp_path):
    run = RunFolder(shutil.copytree(planned_run, tmp_path / "run"))
    flags = ["--preset", "demo", "--epochs", 4, "--iterations-per-epoch", 1, "--batch-size", 2]
    flags += ["--cycles", 1]
    terminal = []
    for name in ("stdout", "stderr"):
        os.mkfifo(tmp_path / name)
        terminal.append(os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK))
    process = warm_command.start(
        "train", hearts, "--output", run.path, *flags, "--jsonl", folder=tmp_path
    )
    assert select.select(terminal[:1], [], [], 120)[0]
    assert os.read(terminal[0], 1).startswith(b"{")
    for end in terminal:
        os.close(end)
    process.wait()
    assert process.code == 0
    assert (run.fold("0") / "checkpoint_final.pth").exists()


# The schedule


def printed_schedule(*flags):
    result = CliRunner().invoke(main, ["schedule", *flags])
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_schedule_of_the_paper_is_printed():
    rows = printed_schedule("--epochs", "1200", "--cycles", "3", "--csv", "-")
    assert list(rows[0]) == ["epoch", "cycle", "epoch_in_cycle", "learning_rate", "keeps_member"]
    assert len(rows) == 1200
    assert rows[400] == {
        "epoch": "400", "cycle": "1", "epoch_in_cycle": "0", "learning_rate": "0.1",
        "keeps_member": "0",
    }  # fmt: skip
    assert float(rows[399]["learning_rate"]) == pytest.approx(0.007564, abs=1e-6)
    kept = [int(row["epoch"]) for row in rows if row["keeps_member"] == "1"]
    assert kept == list(MemberSelection().epochs(RestartSchedule()))
    assert len(kept) == 90


def test_schedule_of_a_preset_is_printed():
    rows = printed_schedule("--preset", "quick", "--epochs", "30")
    quick = PRESETS["quick"]
    schedule = replace(quick.schedule, epochs=30)
    kept = [int(row["epoch"]) for row in rows if row["keeps_member"] == "1"]
    assert kept == list(quick.selection.epochs(schedule))


def test_every_schedule_parameter_is_an_option(tmp_path):
    file = tmp_path / "schedule.csv"
    flags = "--epochs 12 --cycles 2 --gamma 0.5 --initial-lr 0.02 --restart-lr 0.2 --exponent 2 "
    flags += "--decay-over Tc --members-per-cycle 2 --member-step 1 --no-restart-first-cycle --csv"
    assert printed_schedule(*flags.split(), str(file)) == []
    schedule = RestartSchedule(
        epochs=12, cycles=2, gamma=0.5, initial_lr=0.02, restart_lr=0.2, exponent=2,
        decay_over="Tc", restart_first_cycle=False,
    )  # fmt: skip
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == pytest.approx([schedule.learning_rate(e) for e in range(12)], rel=1e-8)
    assert [int(row["epoch"]) for row in rows if row["keeps_member"] == "1"] == [4, 5, 10, 11]


@pytest.mark.parametrize(
    ("shape", "flag"),
    [
        ("poly", ["--gamma", "0.5"]),
        ("poly", ["--restart-lr", "0.1"]),
        ("poly", ["--no-restart-first-cycle"]),
        ("cosine", ["--gamma", "0.5"]),
        ("cosine", ["--exponent", "0.9"]),
        ("cosine", ["--decay-over", "Tc"]),
    ],
)
def test_parameter_without_effect_is_usage_error(shape, flag):
    result = CliRunner().invoke(main, ["schedule", "--schedule", shape, *flag])
    assert result.exit_code == 2
    name = flag[0].replace("--no-", "--")
    assert f"{name} " in result.stderr
    assert f"--schedule {shape}" in result.stderr


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--epochs", "10", "--cycles", "3"], ["10 epochs", "3 cycles"]),
        (["--epochs", "99999999999"], [str(MOST_EPOCHS)]),
    ],
)
def test_impossible_schedule_is_usage_error(flags, parts):
    result = CliRunner().invoke(main, ["schedule", *flags])
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(part in result.stderr for part in parts)
