import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import EpochDone, JobEnded, StageStarted
from napari_bayes_nnunet.app.training import run_state
from napari_bayes_nnunet.app.training.progress import (
    FileTail,
    append_message,
    last_messages,
    messages_in,
)
from napari_bayes_nnunet.app.training.run_state import (
    is_gone,
    kill_training,
    read_process_record,
    read_run_state,
    request_stop,
)
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder

from ...helpers.checks.problems import says, says_only
from ...helpers.processes.command import environment
from ...helpers.processes.jobs import enter, epoch_done, say, wait_until

STARTING = StageStarted(text="Starting")


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def make_old(run, *, minutes):
    moment = time.time() - 60 * minutes
    for file in (run.job, run.progress, run.log):
        if file.exists():
            os.utime(file, (moment, moment))


# State from files


def test_a_folder_without_a_training(run):
    state = read_run_state(run)
    assert (state.kind, state.info) == ("none", None)
    assert state.text == statement(run_state.NO_RUN_FOLDER, run=run.path)
    run.path.mkdir()
    assert read_run_state(run).text == statement(run_state.NEVER_STARTED, run=run.path)
    assert not state.may_be_running


def actions(told):
    return [remedy.action for remedy in told.remedies]


@pytest.mark.parametrize("outcome", ["finished", "stopped", "failed", "of a newer version"])
def test_the_last_message_is_the_outcome(outcome, run):
    enter(run)  # also while its process still cleans up
    say(run, STARTING, JobEnded(outcome=outcome, text="In words."))
    state = read_run_state(run)
    assert state.kind == (outcome if outcome in ("finished", "stopped") else "failed")
    assert (state.text, state.info, state.may_be_running) == (
        "In words.",
        read_process_record(run),
        False,
    )


def test_a_process_that_runs_here(run):
    enter(run)
    state = read_run_state(run)
    assert (state.kind, state.text) == ("running", run_state.RUNS_HERE)
    assert state.may_be_running
    request_stop(run)
    assert read_run_state(run).text == f"{run_state.RUNS_HERE} {run_state.STOPS_SOON}"
    say(run, STARTING, epoch_done(0))
    assert read_run_state(run).text == f"{run_state.RUNS_HERE} {run_state.STOPS_AFTER_EPOCH}"
    say(run, StageStarted(text="Measuring", total=3))
    assert read_run_state(run).text == f"{run_state.RUNS_HERE} {run_state.STOPS_SOON}"


@pytest.mark.parametrize("changes", [{"pid": 2**22 + 1}, {"process_started": 1.0}])
def test_a_process_that_ended_or_was_replaced_died(changes, run):
    enter(run, **changes)
    say(run, epoch_done(0))
    state = read_run_state(run)
    assert (state.kind, state.may_be_running) == ("died", False)
    assert actions(state.text) == [Action.START_AGAIN]
    run.record.touch()
    assert actions(read_run_state(run).text) == [Action.RESUME]


def test_a_training_on_another_host(run):
    enter(run, host="server 7", pid=1)
    state = read_run_state(run)
    assert (state.kind, state.info.host) == ("running", "server 7")
    assert state.text == run_state.RUNS_ELSEWHERE.format(host="server 7", silence="0 s")
    make_old(run, minutes=3.2)
    say(run, epoch_done(0))
    make_old(run, minutes=3.2)
    assert re.search("server 7.* 3 min 1[2-9] s", read_run_state(run).text)
    run.log.touch()
    assert read_run_state(run).text == state.text
    say(run, JobEnded(outcome="finished", text="Done."))
    assert read_run_state(run).kind == "finished"


def test_a_silent_training_on_another_host(run):
    enter(run, host="server 7")
    say(run, epoch_done(0, seconds=2.0))
    make_old(run, minutes=25)
    state = read_run_state(run)
    assert (state.kind, state.may_be_running) == ("silent", True)
    assert state.text.values == {"host": "server 7", "silence": "25 min"}
    say(run, epoch_done(1, seconds=160.0), epoch_done(2, seconds=3.0))
    make_old(run, minutes=25)
    assert read_run_state(run).kind == "running"
    make_old(run, minutes=30)
    assert read_run_state(run).kind == "silent"


def test_reading_the_state_never_touches_the_lock(run):
    enter(run)
    read_run_state(run)
    with FileLock(run.lock, timeout=0):  # although this process is its trainer
        assert read_run_state(run).kind == "running"


def test_a_folder_that_cannot_be_reached(tmp_path):
    (tmp_path / "file").touch()
    run = RunFolder(tmp_path / "file")
    with pytest.raises(AppError, check=says_only(folder=run.path, reason="Not a directory")):
        read_run_state(run)
    with pytest.raises(AppError, check=says_only(run=run.path, reason="Not a directory")):
        request_stop(run)


# Refusals to kill


def test_only_a_training_that_runs_here_is_killed(run):
    say(run, STARTING)
    with pytest.raises(AppError) as no_process:
        kill_training(run)
    assert actions(no_process.value.values["text"]) == [Action.START_AGAIN]
    enter(run, process_started=1.0)
    with pytest.raises(AppError) as other_process:
        kill_training(run)
    assert actions(other_process.value.values["text"]) == [Action.START_AGAIN]
    enter(run, host="server 7")
    with pytest.raises(AppError, check=says(host="server 7")):
        kill_training(run)
    assert last_messages(run.progress) == [STARTING]
    enter(run)
    say(run, JobEnded(outcome="finished", text="Done."))
    with pytest.raises(AppError, check=says(text="Done.")):
        kill_training(run)


def test_the_training_of_another_user(run, monkeypatch):
    def refuse(process):
        raise psutil.AccessDenied(process.pid)

    enter(run)
    monkeypatch.setattr(psutil.Process, "suspend", refuse)
    with pytest.raises(AppError) as caught:
        kill_training(run)
    assert isinstance(caught.value.__cause__, psutil.AccessDenied)


def test_a_training_that_survives_the_kill(run, monkeypatch):
    for name in ("suspend", "kill"):
        monkeypatch.setattr(psutil.Process, name, lambda process: None)
    enter(run)
    with pytest.raises(AppError, check=says_only(run=run.path, within=0.1, pid=os.getpid())):
        kill_training(run, within=0.1)
    assert last_messages(run.progress) == []


def test_a_process_that_does_not_train_the_run_is_spared(run):
    with subprocess.Popen([sys.executable, "-c", "input()", "train"], stdin=-1) as other:
        enter(run, pid=other.pid, process_started=psutil.Process(other.pid).create_time())
        assert read_run_state(run).kind == "died"
        with pytest.raises(AppError):
            kill_training(run)
        assert other.poll() is None
        other.communicate(b"")
    assert other.returncode != -signal.SIGKILL


@pytest.mark.parametrize("words", [["--output", "run"], ["--output=run"], ["--output", "copy"]])
def test_a_command_line_names_its_run_only(words, run):
    command = [sys.executable, "-c", "input()", "train", "data", *words]
    with subprocess.Popen(command, stdin=-1, cwd=run.path.parent) as process:
        started = psutil.Process(process.pid).create_time()
        enter(run, pid=process.pid, process_started=started)
        assert read_run_state(run).kind == ("died" if "copy" in words else "running")
        process.communicate(b"")


# Real processes

TREE = """
import subprocess, sys, time
from pathlib import Path
from napari_bayes_nnunet.app.training.run_state import write_process_record
from napari_bayes_nnunet.app.training.progress import append_message
from napari_bayes_nnunet.app.messages import JobEnded
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder
if len(sys.argv) > 2:
    run = RunFolder(Path(sys.argv[1]))
    lock = run.lock.open("w")
    write_process_record(run, dataset="", fold="0", arguments=[])
    with run.progress.open("ab") as file:
        file.write(b'{"kind": "epo')
depth = int(sys.argv[-1])
children = [subprocess.Popen([sys.executable, __file__, str(depth - 1)]) for _ in range(depth)]
Path(__file__).with_name(f"{children[0].pid if children else time.time_ns()}.started").touch()
for child in children:
    child.wait()
    append_message(run.progress, JobEnded(outcome="failed"))
time.sleep(600)
"""


def test_the_whole_tree_is_killed(run, tmp_path):
    run.path.mkdir()
    script = tmp_path / "tree.py"
    script.write_text(TREE)
    with subprocess.Popen(
        [sys.executable, str(script), str(run.path), "2"], env=environment()
    ) as process:
        wait_until(lambda: len(list(tmp_path.glob("*.started"))) == 5)
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert len(tree) == 5
        assert read_run_state(run).kind == "running"
        kill_training(run)
        assert all(map(is_gone, tree))
    (ended,) = last_messages(run.progress)
    assert ended.outcome == "stopped"
    assert actions(ended.sentence) == [Action.START_AGAIN]
    assert run.progress.read_text().splitlines()[0] == '{"kind": "epo'
    assert (read_run_state(run).kind, read_run_state(run).text) == ("stopped", ended.sentence)


@pytest.fixture
def training(planned_run, hearts, warm_command, tmp_path):
    """A training of many epochs that has just been started, and its run folder."""
    run = RunFolder(Path(shutil.copytree(planned_run, tmp_path / "run")))
    flags = ("--preset", "demo", "--epochs", 3000, "--iterations-per-epoch", 1, "--batch-size", 2)
    started = warm_command.start("train", hearts, "--output", run.path, *flags, folder=tmp_path)
    yield started, run
    started.kill()
    started.wait_for_children()


def test_a_training_is_followed_and_stopped(training):
    started, run = training
    follower, messages = FileTail(run.progress), []

    def epochs():
        lines, restarted = follower.read()
        messages[:] = ([] if restarted else messages) + messages_in(lines)
        return sum(isinstance(message, EpochDone) for message in messages)

    started.wait(lambda: epochs() >= 2)
    assert read_run_state(run).kind == "running"
    assert read_run_state(run).info.pid == started.pid
    request_stop(run)
    started.wait()
    state = read_run_state(run)
    assert (state.kind, started.code) == ("stopped", 0)
    (remedy,) = state.text.remedies
    assert remedy.action is Action.RESUME_RUN
    assert remedy.values["command"].startswith("bayes-nnunet train")
    assert epochs() < 3000
    assert messages == messages_in(run.progress.read_bytes())
    assert (messages[-1].outcome, messages[-1].sentence) == ("stopped", state.text)
    assert not run.stop.exists()


def test_a_training_is_killed_by_its_run_and_by_no_copy(training):
    started, run = training
    started.wait(lambda: any(isinstance(m, EpochDone) for m in last_messages(run.progress)))
    for copy in (shutil.copy2, os.link):
        folder = run.path.with_name(copy.__name__)
        shutil.copytree(run.path, folder, copy_function=copy, ignore=shutil.ignore_patterns(".*"))
        assert read_run_state(RunFolder(folder)).kind == "died"
        with pytest.raises(AppError):
            kill_training(RunFolder(folder))
        assert not started.has_ended
        assert read_run_state(run).kind == "running"
    kill_training(run)
    assert started.has_ended
    last = last_messages(run.progress)[-1]
    assert (last.outcome, actions(last.sentence)) == ("stopped", [Action.RESUME])
    assert read_run_state(run).kind == "stopped"
    with FileLock(run.lock, timeout=10):  # free for the next training
        pass


def test_a_training_killed_by_others_has_died(training):
    started, run = training
    started.wait(lambda: read_process_record(run).pid == started.pid)
    assert read_run_state(run).kind == "running"
    started.kill()
    state = read_run_state(run)
    assert (state.kind, state.info.pid) == ("died", started.pid)
    assert actions(state.text) == [Action.RESUME]
    append_message(run.progress, STARTING)
    assert read_run_state(run).kind == "died"
