"""Processes of a training on several GPUs: reports, common decisions, and their end."""

import json
import signal
import subprocess
import sys

import pytest

from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io.ensemble.run_folder import EpochReport, RunFolder
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet.ranks import Mailbox

from ..helpers.processes.command import environment, wait_until_gone


def report(epoch):
    return EpochReport(
        fold="0",
        epoch=epoch,
        cycle=0,
        learning_rate=0.1,
        train_loss=0.5,
        val_loss=None,
        pseudo_dice={"RV": None, "LV": 0.5},
        seconds=1.0,
        eta_seconds=2.0,
        member=True,
        memory_bytes=7,
    )


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def mailbox(run):
    return Mailbox(run, "0")


# Reports

DIVERGED = statement("The loss became {loss}.", Action.LOWER_RATE, loss="größer")


def test_every_report_is_read_once(mailbox, run):
    assert mailbox.new_reports() == []
    writer = Mailbox(run, "0")
    for epoch in (0, 1):
        writer.report(report(epoch))
    assert mailbox.new_reports() == [report(0), report(1)]
    writer.report(report(2))
    assert mailbox.new_reports() == [report(2)]
    assert mailbox.new_reports() == []


def test_half_a_report_is_not_read_yet(mailbox, run):
    mailbox.report(report(0))
    file = run.fold("0") / "ddp" / "epochs.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    assert mailbox.new_reports() == []
    file.write_bytes(whole)
    assert mailbox.new_reports() == [report(0)]


def test_damaged_reports_are_left_out(mailbox, run):
    mailbox.report(report(0))
    with (run.fold("0") / "ddp" / "epochs.jsonl").open("a") as file:
        file.write("\0\0\n" + json.dumps({"of": "another version"}) + "\n")
    mailbox.report(report(1))
    assert mailbox.new_reports() == [report(0), report(1)]


def test_only_the_first_failure_is_kept(mailbox):
    assert mailbox.failure is None
    mailbox.note_failure(DIVERGED)
    mailbox.note_failure(statement("Closed."))
    assert mailbox.failure == DIVERGED


def test_only_model_errors_are_noted(mailbox):
    with pytest.raises(KeyError), mailbox.noting_failures():
        raise KeyError("x")
    assert mailbox.failure is None
    with pytest.raises(ModelError), mailbox.noting_failures():
        raise ModelError(DIVERGED.template, *DIVERGED.remedies, **DIVERGED.values)
    assert mailbox.failure == DIVERGED


@pytest.mark.parametrize("text", ["", "[]", '{"template": "No', '{"template": "No."}'])
def test_a_failure_cut_short_is_none(mailbox, run, text):
    mailbox.note_failure(DIVERGED)
    (run.fold("0") / "ddp" / "failed.json").write_text(text)
    assert mailbox.failure is None


def test_a_failure_that_cannot_be_noted_is_raised(mailbox, run):
    run.fold("0").touch()  # a file in place of the folder
    with pytest.raises(ModelError, match="the disk is full"), mailbox.noting_failures():
        raise ModelError("the disk is full")


def test_an_emptied_mailbox_holds_nothing(mailbox, run):
    mailbox.report(report(0))
    mailbox.note_stop()
    mailbox.note_failure(DIVERGED)
    assert mailbox.new_reports()
    assert mailbox.is_stopped
    mailbox.empty()
    assert list(run.fold("0").iterdir()) == []
    assert (mailbox.failure, mailbox.is_stopped) == (None, False)
    mailbox.report(report(3))
    assert mailbox.new_reports() == [report(3)]


def test_each_fold_has_its_own_mailbox(mailbox, run):
    mailbox.report(report(0))
    assert Mailbox(run, "1").new_reports() == []


# Common decisions

RANKS = """
import sys
import torch.distributed as dist
import torch.multiprocessing as mp
from napari_bayes_nnunet.nnunet.ranks import ask_first_process

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
import ctypes, multiprocessing, os, signal, sys, time
from napari_bayes_nnunet.nnunet.ranks import be_killed_with_parent, end_with_parent

end_with_parent()

def augment(rank):
    print(rank, os.getpid(), flush=True)
    time.sleep(600)

def rank():
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # as torch.multiprocessing.spawn does
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    be_killed_with_parent()
    multiprocessing.Process(target=augment, args=(os.getpid(),)).start()
    time.sleep(600)

if __name__ == "__main__":
    os.environ["BAYES_NNUNET_PARENT"] = str(os.getpid())
    process = multiprocessing.get_context("spawn").Process(target=rank)
    process.start()
    process.join()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl of Linux")


@linux
def test_spawned_processes_end_with_the_first(tmp_path):
    (tmp_path / "spawned.py").write_text(SPAWNED)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "spawned.py")],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        children = [int(number) for number in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.send_signal(signal.SIGKILL)
    wait_until_gone(*children)


@linux
@pytest.mark.parametrize(("variables", "code"), [({"BAYES_NNUNET_PARENT": "1"}, 1), ({}, 0)])
def test_a_process_without_its_parent_exits(variables, code):
    script = "from napari_bayes_nnunet.nnunet import ranks; ranks.end_with_parent()"
    done = subprocess.run([sys.executable, "-c", script], env=environment(**variables))
    assert done.returncode == code


ABORTING = """
import atexit, multiprocessing, os, sys
from napari_bayes_nnunet.nnunet.ranks import end_without_teardown

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
