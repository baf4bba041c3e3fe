"""``bayes-nnunet predict ENSEMBLE FOLDER``: a tree of studies, stopped and killed on the way."""

from __future__ import annotations

import csv
import shutil
import signal
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.messages import JobEnded, Message, StudiesFound, StudyDone, from_line

from .cohorts import write_dicom_study, write_volume
from .command import bayes_nnunet, start
from .models import make_model

ASKED = ("--members", 2, "--mirroring", "none", "--device", "cpu")
COUNT = 14


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), members=2)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "in"
    for number in range(COUNT - 2):
        write_volume(folder / f"site {number % 3}" / f"p{number:02d}.nii.gz", seed=number, phases=3)
    write_dicom_study(folder / "Doe_Jane", name="Doe")
    (folder / "broken.nii.gz").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def whole(model, tree, tmp_path_factory) -> Path:
    """The results of a run that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole") / "out"
    done = bayes_nnunet("predict", model, tree, "-o", output, *ASKED)
    assert done.returncode == 1
    assert f"Found {COUNT} studies: {COUNT - 1} NIfTI, 1 DICOM" in done.stdout
    assert f"{COUNT - 1} of {COUNT} studies are segmented, 1 failed. Summary: {output}" in (
        done.stdout
    )
    assert "broken: " in done.stderr
    assert "is no NIfTI file" in done.stderr
    assert "Traceback" not in done.stderr
    return output


def results(output: Path) -> dict[str, bytes]:
    found = (file for file in output.rglob("*") if file.suffix in (".gz", ".png"))
    return {str(file.relative_to(output)): file.read_bytes() for file in found}


def table(output: Path) -> list[dict[str, str]]:
    with (output / "cohort.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def messages(text: str) -> list[Message]:
    return [from_line(line) for line in text.splitlines()]


def test_a_study_for_each_image(whole):
    assert len(list(whole.rglob("study.json"))) == COUNT - 1
    assert len(table(whole)) == COUNT
    assert (whole / "cohort.html").stat().st_size > 10_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_and_continued(model, tree, whole, tmp_path, number):
    """At most the study in work is lost, nothing is done twice, and the files are the same."""
    output = tmp_path / "out"
    process = start("predict", model, tree, "-o", output, *ASKED, "--jsonl")
    said = [process.stdout.readline() for _ in range(3)]
    process.send_signal(number)
    rest, errors = process.communicate(timeout=60)
    told = messages("".join(said) + rest)
    assert isinstance(told[0], StudiesFound)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 130, errors
        assert isinstance(told[-1], JobEnded)
        assert told[-1].outcome == "stopped"
        assert "--continue" in told[-1].text
    before = {study.case for study in told if isinstance(study, StudyDone)}
    assert 2 <= len(before) < COUNT
    assert before <= {row["study"] for row in table(output)}
    assert len(table(output)) == len({row["study"] for row in table(output)})

    again = bayes_nnunet("predict", model, tree, "-o", output, *ASKED, "--continue", "--jsonl")
    assert again.returncode == 1
    told = messages(again.stdout)
    studies = {study.case: study.outcome for study in told if isinstance(study, StudyDone)}
    assert {studies[case] for case in before} <= {"finished before", "failed"}
    assert list(studies.values()).count("finished before") <= len(before) + 1
    assert isinstance(told[-1], JobEnded)
    assert told[-1].outcome == "finished"
    assert results(output) == results(whole)


def test_labels_alone_on_request(model, tree, tmp_path):
    small = shutil.copytree(tree / "Doe_Jane", tmp_path / "in")
    out = tmp_path / "out"
    done = bayes_nnunet("predict", model, small, "-o", out, *ASKED, "--save", "", "--series", 5)
    assert done.returncode == 0, done.stderr
    assert not list(out.rglob("study.json"))
    assert len(list(out.glob("dicom-*_frame*.nii.gz"))) == 3


class TestRefused:
    def test_what_belongs_to_a_scheduler(self, model, tree, tmp_path):
        done = bayes_nnunet("predict", model, tree, "-o", tmp_path / "o", "--resources", "GPU=1")
        assert done.returncode == 2
        assert "--certificates and --resources belong to --scheduler" in done.stderr

    def test_resources_that_are_none(self, model, tree, tmp_path):
        done = bayes_nnunet("predict", model, tree, "-o", tmp_path / "o", "--resources", "GPU")
        assert done.returncode == 2
        assert "'GPU' is not like GPU=1" in done.stderr

    def test_a_folder_without_studies(self, model, tmp_path):
        (tmp_path / "in").mkdir()
        asked = ("predict", model, tmp_path / "in", "-o", tmp_path / "out", "--jsonl")
        done = bayes_nnunet(*asked)
        assert done.returncode == 1
        assert "neither NIfTI (.nii.gz, .nii) nor DICOM" in done.stderr
        (end,) = messages(done.stdout)
        assert (end.outcome, end.text in done.stderr) == ("failed", True)
