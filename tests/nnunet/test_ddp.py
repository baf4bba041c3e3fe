"""The command for several GPUs, the process that follows it, and a training by two processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.problems import Action, Remedy, statement
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.nnunet import ModelError, ddp
from napari_bayes_nnunet.nnunet.device import training_environment
from napari_bayes_nnunet.nnunet.planning import workspace_environment
from napari_bayes_nnunet.nnunet.ranks import Mailbox
from napari_bayes_nnunet.nnunet.trainer import TrainingStopped, trainer_environment

from ..helpers.processes.command import bayes_nnunet, environment
from .test_ranks import wait_until_gone

GLOO = Path(__file__).with_name("gloo_ddp.py")
TINY = ("--preset", "demo", "--iterations-per-epoch", 1, "--batch-size", 2, "--seed", 3)


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


# What can be trained


def set_gpus(monkeypatch, count, *, nccl=True):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_enough_gpus_are_accepted(device, monkeypatch):
    set_gpus(monkeypatch, 2)
    ddp.check_gpus(2, device=device, batch_size=2)


OMIT_GPUS, OTHER_GPUS = (
    Remedy(action, {"setting": "num_gpus"}) for action in (Action.OMIT, Action.OTHER_VALUE)
)
OMIT_DEVICE = Remedy(Action.OMIT, {"setting": "device"})


@pytest.mark.parametrize(
    ("request_", "available", "values", "remedies"),
    [
        ({}, 0, {"gpus": 2, "available": 0}, (OTHER_GPUS,)),
        ({"device": "cuda"}, 1, {"gpus": 2, "available": 1}, (OTHER_GPUS,)),
        ({"device": "cpu"}, 2, {"device": "cpu"}, (OMIT_GPUS, OMIT_DEVICE)),
        ({"device": "mps"}, 2, {"device": "mps"}, (OMIT_GPUS, OMIT_DEVICE)),
        ({"device": "cuda:1"}, 2, {"gpus": 2, "device": "cuda:1"}, (OMIT_DEVICE,)),
    ],
)
def test_gpus_that_cannot_train_are_refused(request_, available, values, remedies, monkeypatch):
    set_gpus(monkeypatch, available)
    with pytest.raises(ModelError) as caught:
        ddp.check_gpus(2, **{"device": "auto", "batch_size": 20, **request_})
    assert caught.value.values == values
    assert caught.value.remedies == remedies


@pytest.mark.parametrize(("batch_size", "size"), [(1, 2), (5, 4)])
def test_unequal_batch_is_refused_with_equal_one(batch_size, size, monkeypatch):
    set_gpus(monkeypatch, 2)
    with pytest.raises(ModelError) as caught:
        ddp.check_gpus(2, device="auto", batch_size=batch_size)
    assert caught.value.values == {"batch_size": batch_size, "gpus": 2}
    assert caught.value.remedies == (Remedy(Action.OTHER_BATCH_SIZE, {"size": size}), OTHER_GPUS)


def test_a_torch_without_nccl_is_refused(monkeypatch):
    set_gpus(monkeypatch, 2, nccl=False)
    with pytest.raises(ModelError) as caught:
        ddp.check_gpus(2, device="auto", batch_size=20)
    assert caught.value.remedies == (OMIT_GPUS,)
    assert "NCCL" in str(caught.value)


# The command


def test_the_command_is_nnunets_with_our_trainer():
    arguments = ("Dataset027_ACDC", "2d", "0")
    command = ddp.ddp_command(*arguments, plans="nnUNetPlans", gpus=4, resume=False)
    assert command == [
        *(sys.executable, "-P", "-m", "napari_bayes_nnunet.nnunet.ddp"),
        *("Dataset027_ACDC", "2d", "0", "-tr", "CheckpointEnsembleTrainer"),
        *("-p", "nnUNetPlans", "-num_gpus", "4"),
    ]
    resumed = ddp.ddp_command(*arguments, plans="nnUNetPlans", gpus=4, resume=True)
    assert resumed == [*command, "--c"]


def test_the_environment_names_folders_trainer_and_parent(run, monkeypatch):
    monkeypatch.setattr(ddp, "training_environment", lambda device: {"for": device.type})
    assert ddp.ddp_environment(run.path, run.workspace) == {
        "nnUNet_raw": str(run.workspace / "raw"),
        "nnUNet_preprocessed": str(run.workspace / "preprocessed"),
        "nnUNet_results": str(run.workspace / "results"),
        "nnUNet_extTrainer": str(Path(ddp.__file__).with_name("trainers")),
        "BAYES_NNUNET_RUN": str(run.path),
        "BAYES_NNUNET_PARENT": str(os.getpid()),
        "for": "cuda",
    }


def test_the_environment_includes_that_of_one_gpu(run, monkeypatch):
    monkeypatch.delenv("nnUNet_compile", raising=False)
    for_one_gpu = {
        **workspace_environment(run.workspace),
        **trainer_environment(run.path),
        **training_environment(torch.device("cuda")),
    }
    assert for_one_gpu.items() < ddp.ddp_environment(run.path, run.workspace).items()


def test_the_saved_epoch_is_that_of_nnunets_state(run):
    assert ddp.saved_epoch(run, "0") == 0
    run.fold("0").mkdir(parents=True)
    weights = {"network_weights": {"w": torch.zeros(1)}}
    for name, epoch in (("best", 3), ("latest", 7), ("final", 12)):
        content = {**weights, "current_epoch": epoch}
        torch.save(content, run.fold("0") / f"checkpoint_{name}.pth")
        assert ddp.saved_epoch(run, "0") == epoch


def test_model_error_in_traceback_is_failure():
    text = "\n\n-- Process 1 …\nTraceback …\nnapari_bayes_nnunet.nnunet.ModelError: No {x}.\n"
    assert str(ddp.failure_statement(RuntimeError(text))) == "No {x}."


@pytest.mark.parametrize(
    ("text", "reason"),
    [("Traceback …\nKilled by SIGKILL.", "Killed by SIGKILL"), ("", "RuntimeError")],
)
def test_other_errors_are_the_reason_of_the_failure(text, reason):
    failure = ddp.failure_statement(RuntimeError(text))
    assert failure == statement(ddp.PROCESS_FAILED, Action.RESUME, reason=reason)


# Following it

FAKE = """
import sys, time
from pathlib import Path
from napari_bayes_nnunet.io.ensemble.run_folder import EpochReport, RunFolder
from napari_bayes_nnunet.nnunet.ranks import Mailbox

run = RunFolder(Path(sys.argv[1]))
mailbox = Mailbox(run, "0")

def report(epoch):
    numbers = dict(cycle=0, learning_rate=0.1, train_loss=0.5, val_loss=None, pseudo_dice={})
    times = dict(seconds=1.0, eta_seconds=2.0, member=False)
    mailbox.report(EpochReport(fold="0", epoch=epoch, **numbers, **times))

"""


@pytest.fixture
def follow(run):
    """``follow(script)`` runs the script instead of nnU-Net; epochs are in ``follow.epochs``."""
    run.path.mkdir()

    def follow(script, *, stop=lambda: False, on_epoch=lambda report: None):
        def note(report):
            follow.epochs.append(report.epoch)
            on_epoch(report)

        ddp.train_on_gpus(
            [sys.executable, "-c", FAKE + script, str(run.path)],
            {**environment(), "FAKE": "yes"},
            run=run,
            fold="0",
            on_epoch=note,
            stop_requested=stop,
        )

    follow.epochs = []
    return follow


def test_reports_arrive_early_and_leave_no_files(follow, run):
    # The second epoch begins when the report of the first has arrived.
    script = "report(0)\nwhile not (run.path / 'go').exists(): time.sleep(0.01)\nreport(1)"
    follow(script, on_epoch=lambda report: (run.path / "go").touch())
    assert follow.epochs == [0, 1]
    assert not (run.fold("0") / "ddp").exists()
    assert not run.stop.exists()


def test_notes_of_an_earlier_training_are_ignored(follow, run):
    Mailbox(run, "0").note_failure(statement("Long ago."))
    Mailbox(run, "0").note_stop()
    follow("report(5)")
    assert follow.epochs == [5]


def test_the_command_has_its_own_session_and_variables(follow, run):
    follow(
        "import os\nassert os.environ['FAKE'] == 'yes' and os.getsid(0) == os.getpid()\n"
        "assert sys.stdin.read() == ''"
    )


def test_a_stop_request_reaches_the_command_as_file(follow, run):
    script = "report(0)\nwhile not run.stop.exists(): time.sleep(0.01)\nmailbox.note_stop()"
    with pytest.raises(TrainingStopped):
        follow(script, stop=lambda: bool(follow.epochs))
    assert follow.epochs == [0]
    assert not (run.fold("0") / "ddp").exists()


def test_a_noted_failure_is_raised_with_its_remedies(follow, run):
    script = """
from napari_bayes_nnunet.core.problems import Action, statement
report(0)
mailbox.note_failure(statement("{loss}!", Action.LOWER_RATE, loss="inf"))
raise SystemExit(1)
"""
    with pytest.raises(ModelError) as caught:
        follow(script)
    assert caught.value.statement == statement("{loss}!", Action.LOWER_RATE, loss="inf")
    assert follow.epochs == [0]
    assert not (run.fold("0") / "ddp").exists()


@pytest.mark.parametrize(
    ("script", "template", "values"),
    [
        ("import os; os.kill(os.getpid(), 9)", ddp.KILLED, {"signal": "SIGKILL"}),
        ("raise SystemExit(3)", ddp.EXITED, {"code": 3}),
    ],
)
def test_an_ending_without_a_failure_is_named(script, template, values, follow):
    with pytest.raises(ModelError) as caught:
        follow(script)
    assert caught.value.statement == statement(template, Action.RESUME, **values)


def test_a_failing_follower_kills_the_command(follow, run):
    script = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(run.path / "child").write_text(str(child.pid))
report(0)
time.sleep(600)
"""

    def full(report):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        follow(script, on_epoch=full)
    wait_until_gone(int((run.path / "child").read_text()))


PARENT = """
import json, os, subprocess, sys
command, variables = json.loads(sys.stdin.readline())
variables = {**os.environ, **variables, "BAYES_NNUNET_PARENT": str(os.getpid())}
child = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl of Linux")
def test_nnunets_command_ends_with_a_killed_parent(run):
    """As `train_on_gpus` starts it, but by a parent without torch."""
    command = ddp.ddp_command("Dataset001_X", "2d", "0", plans="x", gpus=2, resume=False)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        variables = ddp.ddp_environment(run.path, run.workspace)
        print(json.dumps([command, variables]), file=parent.stdin, flush=True)
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until_gone(child)


def test_the_command_notes_why_it_fails(run, monkeypatch):
    def fail():
        raise RuntimeError("Traceback …\nKilled by SIGKILL.")

    monkeypatch.setattr("nnunetv2.run.run_training.run_training_entry", fail)
    monkeypatch.setattr(sys, "argv", ["ddp", "Dataset001_X", "2d", "0"])
    monkeypatch.setenv("BAYES_NNUNET_RUN", str(run.path))
    with pytest.raises(RuntimeError, match="SIGKILL"):
        ddp.main()
    noted = statement(ddp.PROCESS_FAILED, Action.RESUME, reason="Killed by SIGKILL")
    assert Mailbox(run, "0").failure == noted


@pytest.mark.slow
def test_a_failure_of_nnunet_is_noted(run):
    """Of the real command without data, and mostly without GPUs."""
    command = ddp.ddp_command("Dataset001_X", "2d", "0", plans="x", gpus=2, resume=False)
    variables = {**environment(), **ddp.ddp_environment(run.path, run.workspace)}
    subprocess.run(command, env=variables, stderr=subprocess.PIPE, timeout=120)
    assert Mailbox(run, "0").failure.template == ddp.PROCESS_FAILED


# A training by two processes, on the CPU


@pytest.fixture
def planned(planned_run, run):
    """A copy of a run in which nothing was trained yet."""
    return RunFolder(shutil.copytree(planned_run, run.path))


@contextlib.contextmanager
def training(*arguments, augmenting=0):
    """The command with two processes instead of GPUs, and ``augmenting`` processes for each."""
    with subprocess.Popen(
        [sys.executable, str(GLOO), "train", *map(str, arguments), "--num-gpus", "2"],
        env=environment(nnUNet_n_proc_DA=str(augmenting), PYTHONFAULTHANDLER="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def epochs(run):
    """The epochs in progress.jsonl."""
    lines = [json.loads(line) for line in run.progress.read_text().splitlines()]
    return [line for line in lines if line["kind"] == "epoch"]


def descendants(process):
    """All processes below the command: nnU-Net's, one per GPU, and their augmenting ones."""
    return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]


def assert_trained(run, schedule):
    """Assert that a run is a whole ensemble of the schedule and nothing is left behind."""
    rows = epochs(run)
    every = range(schedule.epochs)
    assert [row["epoch"] for row in rows] == list(every)
    assert [row["learning_rate"] for row in rows] == list(map(schedule.learning_rate, every))
    record = read_record(run.record)
    assert [m.epoch for m in record.members("0")] == list(MemberSelection().epochs(schedule))
    for member in record.members("0"):
        content = torch.load(run.path / member.file, weights_only=True)
        assert not any(name.startswith("module.") for name in content["network_weights"])
    assert record.validation["0"]["cases"] == 2
    names = {file.name for file in run.fold("0").iterdir()}
    assert {"checkpoint_final.pth", "members"} < names
    assert names.isdisjoint({"checkpoint_latest.pth", "validation", "ddp"})


@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that use torch")
def test_two_processes_train_an_ensemble(planned, hearts, warm_command, tmp_path):
    flags = (*TINY, "--epochs", 3, "--num-gpus", 2)
    done = warm_command.run(
        *("train", hearts, "--output", planned.path, *flags),
        folder=tmp_path,
        program="tests.nnunet.gloo_ddp:main",
        variables={"nnUNet_n_proc_DA": "0", "GLOO_FORKS": "yes"},
    )
    assert done.code == 0, done.errors + planned.log.read_text()[-20000:]
    assert_trained(planned, RestartSchedule(epochs=3, restart_first_cycle=False))


@pytest.mark.slow
def test_two_processes_continue_after_stop_and_kill(planned, hearts):
    schedule = RestartSchedule(epochs=12, gamma=0.5, restart_first_cycle=False)
    start = (hearts, "--output", planned.path, "--jsonl")
    flags = (*TINY, "--epochs", 12, "--gamma", 0.5)
    with training(*start, *flags, augmenting=1) as process:
        assert json.loads(process.stdout.readline())["epoch"] == 0
        children = descendants(process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors + planned.log.read_text()[-20000:]
    assert errors.startswith("Stopped")
    assert "bayes-nnunet train" in errors
    assert len(children) >= 7
    wait_until_gone(*children)
    last = epochs(planned)[-1]["epoch"]
    assert last < 11
    assert not planned.stop.exists()

    with training(*start, "--resume") as process:
        assert json.loads(process.stdout.readline())["epoch"] == last + 1
        children = descendants(process)
        process.kill()
        wait_until_gone(*children)

    with training(*start, "--resume") as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors + planned.log.read_text()[-20000:]
    assert "finished" in errors
    assert_trained(planned, schedule)


@pytest.mark.slow
def test_a_diverged_loss_ends_all_processes_once(planned, hearts):
    flags = (*TINY, "--epochs", 6, "--gamma", 0.5, "--restart-lr", 1e30)
    with training(hearts, "--output", planned.path, *flags) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert "1e+30" in errors
    assert "--restart-lr" in errors
    log = planned.log.read_text()
    assert "Traceback" in log
    assert "ModelError" in log
    last = json.loads(planned.progress.read_text().splitlines()[-1])
    assert (last["outcome"], f"Error: {last['text']}\n") == ("failed", errors)
    assert [m.epoch for m in read_record(planned.record).members("0")] == [1]
    assert not (planned.fold("0") / "ddp").exists()


# A training on two GPUs


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_an_ensemble(planned, hearts):
    flags = (*TINY, "--epochs", 2, "--cycles", 1, "--gamma", 0, "--num-gpus", 2, "--jsonl")
    done = bayes_nnunet("train", hearts, "--output", planned.path, *flags)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["epoch"] for line in done.stdout.splitlines()] == [0, 1]
    assert [m.epoch for m in read_record(planned.record).members("0")] == [0, 1]
    assert (planned.fold("0") / "checkpoint_final.pth").exists()
