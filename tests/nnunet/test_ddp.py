"""Training by several processes: what is refused, how they are followed, and a whole training."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.problems import Action, Remedy, change
from napari_bayes_nnunet.io.ensemble.run_folder import EpochReport, RunFolder, read_record
from napari_bayes_nnunet.nnunet import ModelError, Stopped, ddp

from ..helpers.processes.command import bayes_nnunet, environment, wait_until_gone

GLOO = Path(__file__).with_name("gloo_ddp.py")
TINY = ("--preset", "demo", "--iterations-per-epoch", 1, "--batch-size", 2, "--seed", 3)


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


# What can be trained


def set_gpus(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


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
        ({"device": "cpu"}, 2, {"device": "cpu"}, (OMIT_DEVICE, OMIT_GPUS)),
        ({"device": "mps"}, 2, {"device": "mps"}, (OMIT_DEVICE, OMIT_GPUS)),
        ({"device": "cuda:1"}, 2, {"device": "cuda:1"}, (OMIT_DEVICE, OMIT_GPUS)),
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
    assert caught.value.remedies == (change("batch_size", size), OTHER_GPUS)


def test_the_saved_epoch_is_that_of_nnunets_state(run):
    assert ddp.saved_epoch(run, "0") == 0
    run.fold("0").mkdir(parents=True)
    weights = {"network_weights": {"w": torch.zeros(1)}}
    for name, epoch in (("best", 3), ("latest", 7), ("final", 12)):
        content = {**weights, "current_epoch": epoch}
        torch.save(content, run.fold("0") / f"checkpoint_{name}.pth")
        assert ddp.saved_epoch(run, "0") == epoch


# Following the processes


def report(epoch):
    return EpochReport(
        fold="0",
        epoch=epoch,
        cycle=0,
        learning_rate=0.1,
        train_loss=0.5,
        val_loss=None,
        pseudo_dice={"RV": None, "Größe": 0.5},
        seconds=1.0,
        eta_seconds=2.0,
        member=True,
        memory_bytes=7,
    )


@pytest.fixture
def follow(run, monkeypatch):
    """``follow(act)`` calls ``act`` in place of nnU-Net; reports are in ``follow.reports``."""

    def follow(act, *, stop=lambda: False):
        monkeypatch.setattr("nnunetv2.run.run_training.run_training", lambda *a, **o: act())
        ddp.train_on_gpus(
            "Dataset001_X",
            "2d",
            "0",
            plans="x",
            gpus=2,
            resume=False,
            run=run,
            on_epoch=follow.reports.append,
            stop_requested=stop,
        )

    monkeypatch.setattr(ddp, "training_environment", lambda device: {})
    follow.reports = []
    follow.write = lambda epoch: ddp.append_report(ddp.reports_file(run, "0"), report(epoch))
    return follow


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError


def test_reports_arrive_during_the_training(follow, run):
    def train():
        follow.write(0)
        wait_for(lambda: follow.reports)
        follow.write(1)
        (run.fold("0") / "checkpoint_final.pth").touch()

    follow(train)
    assert follow.reports == [report(0), report(1)]
    assert [file.name for file in run.fold("0").iterdir()] == ["checkpoint_final.pth"]
    assert not run.stop.exists()


def test_reports_of_a_killed_training_are_not_repeated(follow, run):
    run.fold("0").mkdir(parents=True)
    follow.write(3)
    follow(lambda: (run.fold("0") / "checkpoint_final.pth").touch())
    assert follow.reports == []


def test_a_stop_reaches_the_processes_as_file(follow, run):
    with pytest.raises(Stopped):
        follow(lambda: wait_for(run.stop.exists), stop=lambda: True)


@pytest.mark.parametrize(
    ("error", "template", "values"),
    [
        (
            ProcessRaisedException(
                "\n\n-- Process 1 …\nTraceback …\nnapari_bayes_nnunet.nnunet.ModelError: No {x}.\n",
                1,
                7,
            ),
            "No {x}.",
            {},
        ),
        (
            ProcessExitedException("process 0 terminated with signal SIGKILL", 0, 7, -9),
            ddp.PROCESS_FAILED,
            {"reason": "process 0 terminated with signal SIGKILL"},
        ),
    ],
)
def test_a_failed_process_is_reported(follow, error, template, values):
    def fail():
        follow.write(0)
        raise error

    with pytest.raises(ModelError) as caught:
        follow(fail)
    assert (caught.value.statement.template, caught.value.values) == (template, values)
    assert follow.reports == [report(0)]


RANKS = """
import sys
import torch.distributed as dist
import torch.multiprocessing as mp
from napari_bayes_nnunet.nnunet.ddp import ask_first_process

def rank(number, folder):
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=number, world_size=2)
    answers = [ask_first_process(lambda: number == first) for first in (0, 1)]
    with open(f"{folder}/{number}.txt", "w") as file:
        print(*answers, file=file)
    dist.destroy_process_group()

if __name__ == "__main__":
    # Forks, which need not import torch again; nnU-Net spawns its processes.
    mp.start_processes(rank, (sys.argv[1],), nprocs=2, start_method="fork")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
def test_the_first_process_decides_for_all(tmp_path):
    (tmp_path / "ranks.py").write_text(RANKS)
    command = [sys.executable, str(tmp_path / "ranks.py"), str(tmp_path)]
    subprocess.run(command, env=environment(), check=True, timeout=120)
    for number in (0, 1):
        assert (tmp_path / f"{number}.txt").read_text() == "True False\n"


# The end of a process

SPAWNED = """
import ctypes, multiprocessing, os, signal, time
from napari_bayes_nnunet.nnunet.ddp import follow_first_process

def augment():
    print(os.getpid(), flush=True)
    time.sleep(600)

def rank():
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # as torch.multiprocessing.spawn does
    follow_first_process()
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does
    print(os.getpid(), flush=True)
    multiprocessing.Process(target=augment).start()
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=rank)
    process.start()
    process.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl of Linux")
def test_the_processes_end_with_the_first(tmp_path):
    (tmp_path / "spawned.py").write_text(SPAWNED)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "spawned.py")],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        children = [int(parent.stdout.readline()) for _ in range(2)]
        parent.send_signal(signal.SIGKILL)
    wait_until_gone(*children)


ABORTING = """
import atexit, multiprocessing, os, sys
from napari_bayes_nnunet.nnunet.ddp import end_without_teardown

def rank():
    atexit.register(os.abort)  # as by a thread that still holds tensors
    end_without_teardown()
    print("all is written")

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=rank)
    process.start()
    process.join()
    end_without_teardown()  # not spawned, so no effect
    sys.exit(process.exitcode or 7)
"""


def test_a_finished_spawned_process_cannot_abort(tmp_path):
    (tmp_path / "aborting.py").write_text(ABORTING)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "aborting.py")],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (7, "all is written\n"), done.stderr


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
    """All processes below the command: one per GPU, and their augmenting ones."""
    return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]


def assert_trained(run, schedule):
    """Assert that a run is a whole ensemble of the schedule and nothing is left behind."""
    rows = epochs(run)
    every = range(schedule.epochs)
    assert [row["epoch"] for row in rows] == list(every)
    assert [row["learning_rate"] for row in rows] == list(map(schedule.learning_rate, every))
    record = read_record(run.record)
    assert [m.epoch for m in record.members("0")] == list(MemberSelection(step=1).epochs(schedule))
    for member in record.members("0"):
        content = torch.load(run.path / member.file, weights_only=True)
        assert not any(name.startswith("module.") for name in content["network_weights"])
    assert record.validation["0"]["cases"] == 2
    names = {file.name for file in run.fold("0").iterdir()}
    assert {"checkpoint_final.pth", "members"} < names
    assert names.isdisjoint({"checkpoint_latest.pth", "validation", "reports.jsonl"})


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
