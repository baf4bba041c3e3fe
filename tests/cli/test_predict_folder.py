"""Tests of ``bayes-nnunet predict ENSEMBLE FOLDER`` on a tree of studies, stopped and killed."""

import csv
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app.cohort import terminal as cohort_terminal
from napari_bayes_nnunet.app.cohort.run import CohortRequest
from napari_bayes_nnunet.app.messages import (
    JobEnded,
    Message,
    StageStarted,
    StudiesFound,
    StudyDone,
    from_line,
)
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io.images.nifti import NO_NIFTI
from napari_bayes_nnunet.io.search.studies import NO_IMAGES_IN

from ..helpers.data.cohorts import write_dicom_study, write_volume
from ..helpers.data.models import make_model
from ..helpers.processes.warm_command import WarmCommand

ASKED = ("--members", 2, "--mirroring", "none", "--device", "cpu")
COUNT = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), members=2)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "in"
    for number in range(COUNT - 2):
        write_volume(folder / f"site {number % 3}" / f"p{number:02d}.nii.gz", seed=number, phases=3)
    write_dicom_study(folder / "Doe_Jane", name="Doe")
    (folder / "broken.nii.gz").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def whole(model, tree, tmp_path_factory, warm_command):
    """Return the results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    output = folder / "out"
    done = warm_command.run("predict", model, tree, "-o", output, *ASKED, folder=folder)
    assert done.code == 1
    assert f"Found {COUNT} studies: {COUNT - 1} NIfTI, 1 DICOM" in done.output
    assert f"{COUNT - 1} of {COUNT} studies, 1 failed. Summary: {output}" in done.output
    assert "broken: " in done.errors
    assert NO_NIFTI.format(file=tree / "broken.nii.gz") in done.errors
    assert "Traceback" not in done.errors
    return output


def results(output: Path) -> dict[str, bytes]:
    files = (file for file in output.rglob("*") if file.suffix in (".gz", ".png"))
    return {str(file.relative_to(output)): file.read_bytes() for file in files}


def table(output: Path) -> list[dict[str, str]]:
    with (output / "cohort.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def messages(text: str) -> list[Message]:
    return [from_line(line) for line in text.splitlines()]


def test_every_image_becomes_a_study(whole):
    assert len(list(whole.rglob("study.json"))) == COUNT - 1
    assert len(table(whole)) == COUNT
    assert (whole / "cohort.html").stat().st_size > 10_000


def test_stopped_and_killed_cohort_is_continued(model, tree, whole, tmp_path, warm_command):
    """At most the current study is lost, nothing is done twice, and the files are the same."""
    output = tmp_path / "out"
    command = ("predict", model, tree, "-o", output, *ASKED, "--jsonl")
    finished: set[str] = set()
    for number in (signal.SIGINT, signal.SIGKILL):
        told = interrupt(number, command, warm_command, tmp_path)
        command = (*command, "--continue") if not finished else command
        studies = [message for message in told if isinstance(message, StudyDone)]
        done_now = {study.case for study in studies if study.outcome == "done"}
        assert not done_now & finished
        finished |= done_now
        rows = [row["study"] for row in table(output)]
        assert len(rows) == len(set(rows)) < COUNT
        assert {study.case for study in studies} <= set(rows)
    again = warm_command.run(*command, folder=tmp_path)
    told = messages(again.output)
    outcomes = {study.case: study.outcome for study in told if isinstance(study, StudyDone)}
    assert again.code == 1
    assert {outcomes[case] for case in finished} == {"finished before"}
    # In each run, one study may have ended just before the signal without a message.
    assert list(outcomes.values()).count("finished before") <= len(finished) + 2
    assert len(outcomes) == COUNT
    assert isinstance(told[-1], JobEnded)
    assert told[-1].outcome == "finished"
    assert results(output) == results(whole)


def interrupt(
    number: int, command: tuple[object, ...], warm_command: WarmCommand, folder: Path
) -> list[Message]:
    """Send a signal after two studies were segmented, and return all messages."""
    run = warm_command.start(*command, folder=folder)
    run.wait(lambda: run.output.count('"outcome": "done"') >= 2)
    # A terminal sends Ctrl-C to all processes of the command.
    run.send_to_all(number) if number == signal.SIGINT else run.send(number)
    run.wait()
    run.wait_for_children()
    told = messages(run.output)
    assert told[0] == StageStarted(text=cohort_terminal.LOOKING_FOR_STUDIES)
    assert isinstance(told[1], StudiesFound)
    assert told[2] == StageStarted(text=cohort_terminal.STARTING_WORKERS)
    if number == signal.SIGKILL:
        assert run.code == -number
        return told
    assert run.code == 130, run.errors
    assert "Traceback" not in run.errors
    assert isinstance(told[-1], JobEnded)
    assert told[-1].outcome == "stopped"
    assert told[-1].sentence.remedies == (Remedy(Action.CONTINUE),)
    return told


def test_sigterm_stops_cohort_as_ctrl_c_does(monkeypatch, tmp_path, capsys):
    def terminated(request):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(cohort_terminal, "open_cohort", terminated)
    before = signal.getsignal(signal.SIGTERM)
    asked = PredictionRequest(images=(tmp_path,), output=tmp_path / "out")
    request = CohortRequest(ensemble=tmp_path, prediction=asked)
    assert cohort_terminal.run_in_terminal(request, jsonl=True) == 130
    assert signal.getsignal(signal.SIGTERM) == before
    _, end = messages(capsys.readouterr().out)
    assert end.outcome == "stopped"


@pytest.mark.parametrize(
    ("given", "saved"),
    [((), {"study"}), (("--save", ""), set()), (("--save", "labels,entropy"), {"entropy"})],
)
def test_folder_is_saved_as_studies_by_default(monkeypatch, given, saved):
    asked = {}

    def fake(request, **options):
        asked.update(options, save=request.prediction.save, series=request.prediction.series)
        return 0

    monkeypatch.setattr("napari_bayes_nnunet.app.cohort.terminal.run_in_terminal", fake)
    flags = ["--series", "5", "--scheduler", "tcp://server:8786", "--resources", "GPU=1,slot=0.5"]
    done = CliRunner().invoke(main, ["predict", "ensemble", ".", "-o", "out", *flags, *given])
    assert done.exit_code == 0, done.output
    assert asked["save"] == saved
    assert asked["series"] == 5
    assert asked["scheduler"] == "tcp://server:8786"
    assert asked["resources"] == {"GPU": 1, "slot": 0.5}


@pytest.mark.parametrize(("resources", "named"), [("GPU=1", "--scheduler"), ("GPU", "--resources")])
def test_resources_without_scheduler_or_number_are_refused(resources, named, tmp_path):
    words = ["predict", "ensemble", str(tmp_path), "-o", "out", "--resources", resources]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert named in done.stderr


def test_folder_without_studies_is_refused(model, tmp_path, warm_command):
    (tmp_path / "in").mkdir()
    asked = ("predict", model, tmp_path / "in", "-o", tmp_path / "out", "--jsonl")
    done = warm_command.run(*asked, folder=tmp_path)
    assert done.code == 1
    assert NO_IMAGES_IN.format(folders=tmp_path / "in") in done.errors
    _, end = messages(done.output)
    assert (end.outcome, end.text in done.errors) == ("failed", True)
