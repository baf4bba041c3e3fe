import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from filelock import FileLock

from napari_bayes_nnunet import cli
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import FAILED, JobEnded, text_fields
from napari_bayes_nnunet.app.training import terminal as training_terminal
from napari_bayes_nnunet.app.training.job import RUN_IS_BUSY
from napari_bayes_nnunet.app.training.process import (
    DIED_AT_START,
    ENDED_AT_START,
    STOPPED_AT_START,
    command_arguments,
    start_training,
)
from napari_bayes_nnunet.app.training.progress import messages_in, progress_of
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.app.training.run_state import read_run_state
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder

from ...helpers.processes.command import environment
from ...helpers.processes.jobs import enter, wait_until

SCHEDULE = RestartSchedule(
    epochs=12, cycles=2, gamma=0.55, initial_lr=1e-5, restart_lr=0.2, exponent=2.5,
    decay_over="Tc", restart_first_cycle=False,
)  # fmt: skip
FULL = TrainingRequest(
    dataset=Path("-my hearts"),
    output=Path("-a run"),
    configuration="3d_fullres",
    fold="all",
    preset="quick",
    schedule=SCHEDULE,
    selection=MemberSelection(per_cycle=7, step=3),
    batch_size=3,
    iterations_per_epoch=9,
    dropout=0.2,
    dropout_placement="everywhere",
    augmentation="wide",
    split=Path("some splits.json"),
    patient="(p.*)_",
    device="cpu",
    seed=0,
    resume=True,
    add_cycle=True,
    keep_trajectory=True,
    licence="CC BY 4.0",
    labels={1: "RV", 2: "LV, cavity"},
)
PLAIN = TrainingRequest(dataset=Path("data"), output=Path("run"))
REFUSED = JobEnded(outcome=FAILED, **text_fields(statement("{n} is Zwölf.", Action.RESUME, n=12)))


# The command line


@pytest.fixture
def parsed(monkeypatch):
    """``parsed(request)``: the request that the real command reads from the arguments."""

    def parse(request):
        seen = []
        monkeypatch.setattr(
            training_terminal, "train_in_terminal", lambda told, *, jsonl: seen.append(told) or ""
        )
        result = CliRunner().invoke(cli.main, ["train", *command_arguments(request)])
        assert result.exit_code == 0, result.output
        return replace(seen[0], command="")

    return parse


def test_the_command_line_has_the_whole_request(parsed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = TrainingRequest(dataset=FULL.dataset, output=FULL.output)
    for field in fields(TrainingRequest):
        if field.name in ("dataset", "output", "command", "resume", "add_cycle"):
            continue
        request = replace(plain, **{field.name: getattr(FULL, field.name)})
        assert request != plain, field.name
        rest = parsed(replace(plain, preset=request.preset))
        assert parsed(request) == replace(rest, **{field.name: getattr(FULL, field.name)})


@pytest.mark.parametrize(("shape", "cycles"), [("poly", 1), ("cosine", 3)])
def test_a_command_has_only_settings_of_the_shape(shape, cycles, parsed):
    schedule = RestartSchedule(epochs=12, cycles=cycles, shape=shape, initial_lr=0.02)
    request = replace(PLAIN, schedule=schedule)
    assert "--gamma" not in command_arguments(request)
    assert parsed(request).schedule == schedule


@pytest.mark.parametrize("flag", ["resume", "add_cycle"])
def test_a_training_that_goes_on(flag, parsed, trained_run):
    request = TrainingRequest(dataset=Path("data"), output=trained_run, **{flag: True})
    told = parsed(request)
    assert getattr(told, flag)
    assert told.schedule == RestartSchedule(epochs=12, gamma=0.5, restart_first_cycle=False)
    assert parsed(told) == told


def test_a_command_has_only_given_settings():
    assert command_arguments(PLAIN) == ["--output", "run", "--", "data"]
    assert command_arguments(
        replace(PLAIN, schedule=replace(SCHEDULE, added_cycles=1))
    ) == command_arguments(replace(PLAIN, schedule=SCHEDULE))
    for flag in ("--resume", "--add-cycle", "--no-restart-first-cycle"):
        assert flag in command_arguments(FULL)


# Real processes


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """Set the environment of the children."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return the folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def script(code):
    return [sys.executable, "-c", code]


def test_a_real_training_from_start_to_end(planned_run, hearts, tmp_path):
    run = RunFolder(Path(shutil.copytree(planned_run, tmp_path / "run")))
    request = TrainingRequest(
        dataset=hearts, output=run.path, preset="demo", seed=3, device="cpu", batch_size=2,
        iterations_per_epoch=1, schedule=RestartSchedule(epochs=2, cycles=1),
        selection=MemberSelection(per_cycle=1),
    )  # fmt: skip
    started = start_training(request)
    assert not started.has_begun  # nobody waited for it
    assert started.pid != os.getpid()
    assert not started.has_ended
    wait_until(lambda: started.has_begun)
    assert read_run_state(run).kind == "running"
    assert os.getsid(started.pid) == started.pid

    wait_until(lambda: started.has_ended, seconds=600)
    progress = progress_of(messages_in(run.progress.read_bytes()))
    assert [report.epoch for report in progress.reports] == [0, 1]
    assert progress.members == 1
    assert progress.ended.outcome == "finished"
    assert progress.ended.sentence == read_run_state(run).text
    assert (read_run_state(run).kind, started.refusal()) == ("finished", None)
    assert read_run_state(run).info.arguments == tuple(command_arguments(request))
    assert run.log.read_text()
    assert not psutil.pid_exists(started.pid)


def test_a_training_that_is_refused_complains(hearts, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    with FileLock(run.lock):
        busy = start_training(TrainingRequest(dataset=hearts, output=run.path))
        missing = start_training(
            TrainingRequest(dataset=tmp_path / "none", output=tmp_path / "other")
        )
        usage = start_training(TrainingRequest(dataset=hearts, output=run.path, batch_size=0))
        assert busy.refusal() is None
        wait_until(lambda: all(started.has_ended for started in (busy, missing, usage)))
    assert busy.refusal() == statement(RUN_IS_BUSY, run=str(run.path))
    assert missing.refusal().values["folder"] == str(tmp_path / "none")
    assert "'--batch-size'" in usage.refusal()
    assert not busy.has_begun


FAILING = """
from napari_bayes_nnunet.app.training import terminal
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.nnunet import ModelError
def fail(job, tell, stop):  # in place of a training, which would import torch first
    raise ModelError("No {device}.", device=job.request.device)
terminal.run_job = fail
main()
"""


def test_a_failed_training_is_recorded_in_its_folder(hearts, tmp_path):
    run = RunFolder(tmp_path / "run")
    request = TrainingRequest(dataset=hearts, output=run.path, device="a pocket watch")
    started = start_training(request, command=script(FAILING))
    wait_until(lambda: started.has_ended)
    assert started.refusal() is None
    assert read_run_state(run).kind == "failed"
    assert read_run_state(run).text.values == {"device": "a pocket watch"}


def test_a_failed_import_complains_and_keeps_details(temporary):
    started = start_training(PLAIN, command=script("print('ä')\nimport no_such_module"))
    wait_until(lambda: started.has_ended)
    told = started.refusal()
    (file,) = temporary.iterdir()
    assert (
        told
        == started.refusal()
        == DIED_AT_START.format(
            reason="ModuleNotFoundError: No module named 'no_such_module'", file=file
        )
    )
    assert "Traceback" in file.read_text()


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("", None),
        ("raise SystemExit(3)", ENDED_AT_START.format(reason="exit code 3")),
        (
            "import os; os.kill(os.getpid(), 9)",
            ENDED_AT_START.format(reason="killed by signal 9"),
        ),
        (f"print('note'); print({REFUSED.to_line()!r}); raise SystemExit(1)", REFUSED.sentence),
    ],
)
def test_the_refusal_after_other_ends(code, refusal, temporary):
    started = start_training(PLAIN, command=script(code))
    wait_until(lambda: started.has_ended)
    assert started.refusal() == refusal
    assert not any(temporary.iterdir())


def test_a_training_is_ended_before_it_begins(tmp_path):
    run = RunFolder(tmp_path / "run")
    wait = script("import time; time.sleep(600)")
    started = start_training(replace(PLAIN, output=run.path), command=wait)
    assert started.end_early()
    wait_until(lambda: started.has_ended)
    assert started.refusal() == statement(STOPPED_AT_START, Action.START_AGAIN)
    assert not started.end_early()
    begun = start_training(replace(PLAIN, output=run.path), command=wait)
    run.path.mkdir()
    enter(run, pid=begun.pid)
    assert not begun.end_early()
    psutil.Process(begun.pid).kill()


def test_a_missing_program_is_an_error(tmp_path):
    program = str(tmp_path / "nowhere")
    with pytest.raises(AppError) as caught:
        start_training(PLAIN, command=[program])
    assert caught.value.values == {"command": program, "reason": os.strerror(errno.ENOENT)}


def test_paths_are_those_of_this_process(tmp_path, temporary, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = start_training(PLAIN, command=script("import sys; sys.exit('|'.join(sys.argv))"))
    wait_until(lambda: started.has_ended)
    assert started.refusal()
    (file,) = temporary.iterdir()
    words = ["train", "--jsonl", "--output", str(tmp_path / "run"), "--", str(tmp_path / "data")]
    assert file.read_text().strip().split("|")[1:] == words
    assert started.run == RunFolder(tmp_path / "run")


def test_an_ended_child_leaves_no_zombie():
    started = start_training(PLAIN, command=script(""))
    wait_until(lambda: not psutil.pid_exists(started.pid))


WINDOW = """
import sys, time
from pathlib import Path
from napari_bayes_nnunet.app.training.process import start_training
from napari_bayes_nnunet.app.training.request import TrainingRequest
request = TrainingRequest(dataset=Path("data"), output=Path("run"))
print(start_training(request, command=[sys.executable, "-c", sys.argv[1]]).pid, flush=True)
time.sleep(float(sys.argv[2]))
"""
TRAINING = """
import os, sys, time
while True:
    print("out"), print("error", file=sys.stderr, flush=True)
    open("alive", "a").write(".")
    time.sleep(0.05)
"""


@pytest.mark.parametrize("end", ["killed", "Ctrl-C", "closed"])
def test_a_training_outlives_the_window(end, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WINDOW, TRAINING, "0" if end == "closed" else "600"],
        cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as window:
        child = psutil.Process(int(window.stdout.readline()))
        if end != "closed":
            number = signal.SIGKILL if end == "killed" else signal.SIGINT
            os.killpg(window.pid, number)  # as a terminal does, which ends all its processes
        errors = window.stderr.read()
        window.wait(30)
    try:
        assert ("KeyboardInterrupt" in errors) == (end == "Ctrl-C")
        assert "Warning" not in errors
        alive = tmp_path / "alive"
        wait_until(alive.exists)
        size = alive.stat().st_size
        wait_until(lambda: alive.stat().st_size > size + 2)
    finally:
        child.kill()
