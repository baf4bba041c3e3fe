import errno
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import StageStarted, from_line
from napari_bayes_nnunet.app.training import terminal as training_terminal
from napari_bayes_nnunet.app.training.process import command_arguments
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.app.training.run_state import read_process_record
from napari_bayes_nnunet.app.training.terminal import TRAINING_FILLED_DISK, train_in_terminal
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder

NO_SPACE, READ_ONLY = (os.strerror(number) for number in (errno.ENOSPC, errno.EROFS))


@pytest.fixture
def request_and_run(hearts, tmp_path):
    return TrainingRequest(dataset=hearts, output=tmp_path), RunFolder(tmp_path)


def failing(error):
    def run_job(job, tell, stop):
        raise error

    return run_job


@pytest.mark.parametrize(
    ("error", "values"),
    [
        (AppError("A sentence."), {}),
        (KeyError("x"), {"reason": "'x'"}),
        (AssertionError(), {"reason": "AssertionError"}),
        (
            OSError(errno.EROFS, READ_ONLY, "file"),
            {"file": "file", "reason": READ_ONLY},
        ),
    ],
)
def test_every_failure_is_a_sentence_and_a_message(
    error, values, request_and_run, monkeypatch, capfd
):
    request, run = request_and_run
    monkeypatch.setattr(training_terminal, "run_job", failing(error))
    with pytest.raises(AppError) as caught:
        train_in_terminal(request, jsonl=False)
    assert caught.value.values.items() >= values.items()
    assert caught.value.values.get("log", run.log) == run.log
    last = from_line(run.progress.read_text().splitlines()[-1])
    assert (last.outcome, last.text) == ("failed", str(caught.value))
    assert "Traceback" in run.log.read_text()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("has_begun", [False, True])
def test_full_disk_names_its_remedy(has_begun, request_and_run, monkeypatch):
    request, run = request_and_run

    def fill(job, tell, stop):
        if has_begun:
            run.record.touch()
        raise OSError(errno.ENOSPC, NO_SPACE, "file")

    monkeypatch.setattr(training_terminal, "run_job", fill)
    with pytest.raises(AppError) as caught:
        train_in_terminal(request, jsonl=False)
    again = Action.RESUME if has_begun else Action.START_AGAIN
    assert caught.value.remedies == (Remedy(again),)
    last = from_line(run.progress.read_text().splitlines()[-1])
    assert last.statement == caught.value.statement.to_json()


def test_failure_is_raised_if_nothing_can_be_written(request_and_run, monkeypatch):
    request, run = request_and_run

    def full(file, message):
        raise OSError(errno.ENOSPC, NO_SPACE, str(run.progress))

    monkeypatch.setattr(training_terminal, "append_message", full)
    monkeypatch.setattr(training_terminal, "run_job", lambda job, tell, stop: tell(None))
    with pytest.raises(AppError) as caught:
        train_in_terminal(request, jsonl=False)
    assert caught.value.statement.template == TRAINING_FILLED_DISK


def test_output_of_nnunet_goes_to_the_log(request_and_run, monkeypatch, capfd):
    request, run = request_and_run

    def run_job(job, tell, stop):
        print("noise of nnU-Net")
        tell(StageStarted(text="Planning"))
        return True

    monkeypatch.setattr(training_terminal, "run_job", run_job)
    assert str(run.path) in train_in_terminal(request, jsonl=False)
    print("after")
    assert capfd.readouterr().out == "Planning\nafter\n"
    assert run.log.read_text() == "noise of nnU-Net\n"


def test_an_interrupted_training_names_its_remedy(hearts, tmp_path):
    run = RunFolder(tmp_path / "a run")
    job = SimpleNamespace(
        run=run,
        continuation=lambda: "the command",
    )
    ending = training_terminal._ending
    assert ending(job, finished=False).remedies == (Remedy(Action.START_AGAIN),)
    run.path.mkdir()
    run.record.touch()
    resumed = Remedy(Action.RESUME_RUN, {"command": "the command"})
    assert ending(job, finished=False).remedies == (resumed,)


def test_the_process_is_recorded_at_once(hearts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunFolder(tmp_path / "run")
    seen = []

    def run_job(job, tell, stop):
        run.stop.touch()
        info = read_process_record(run)
        seen.extend([info, info.process(run), run.progress.read_text(), bool(stop)])
        return False

    monkeypatch.setattr(training_terminal, "run_job", run_job)
    request = TrainingRequest(dataset=hearts, output=Path("run"), fold="2", seed=1, device="cuda:1")
    train_in_terminal(request, jsonl=False)
    info, process, progress, stop_requested = seen
    assert process == psutil.Process()
    assert (info.dataset, info.fold) == (str(hearts), "2")
    assert info.device == "cuda:1"
    assert list(info.arguments) == command_arguments(replace(request, output=run.path))
    assert from_line(progress) == StageStarted(text="Starting")
    assert stop_requested
    assert read_process_record(run) == info


def test_a_refused_request_changes_no_files(request_and_run):
    request, run = request_and_run
    with pytest.raises(AppError) as caught:
        train_in_terminal(replace(request, resume=True), jsonl=False)
    assert caught.value.remedies == (Remedy(Action.START_NEW),)
    assert not any(file.exists() for file in (run.job, run.progress, run.log))
