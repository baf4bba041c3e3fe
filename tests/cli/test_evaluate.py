"""Tests of ``bayes-nnunet evaluate``, the first one in a real process."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app.evaluation.request import DUPLICATE_METHOD, SAME_PREDICTIONS
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io.files.given_path import NOT_A_FOLDER

from ..helpers.data.evaluations import answer, heart, name_labels, write_answer, write_reference
from ..helpers.processes.command import bayes_nnunet


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the folder of ``multi``, ``vanilla`` and ``labels`` of two patients."""
    folder = tmp_path_factory.mktemp("my data")
    for n in (1, 2):
        case = f"p{n}_frame01"
        write_answer(folder / "multi", case, answer(n))
        write_answer(folder / "vanilla", case, answer(n, count=1))
        write_reference(folder / "labels", case, heart())
    name_labels(folder / "labels")
    return folder


def run(folders: Path, *more: object, labels: str = "labels"):
    arguments = ("evaluate", folders / "multi", folders / labels, *more)
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_evaluation_prints_table_and_writes_report(folders, tmp_path):
    both = ("--name", "Multi (n = 3)", "--compare", f"T = 1.5={folders / 'vanilla'}")
    asked = ("evaluate", folders / "multi", folders / "labels", *both)
    done = bayes_nnunet(*asked, "-o", tmp_path / "new" / "report")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines[:2]] == ["Multi (n = 3)", "T = 1.5"]
    start = lines.index("Dice")
    assert re.findall(r"\d+", lines[start - 1]) == ["2", "2"]  # volumes, patients
    assert lines[start + 1].split() == ["RV", "MYO", "LV", "Mean"]
    assert lines[start + 2].startswith("Multi (n = 3)  0.")
    assert lines[start + 3].startswith("T = 1.5        0.")
    assert lines[-1] == f"Report: {tmp_path / 'new' / 'report' / 'report.html'}"
    names = {file.name for file in (tmp_path / "new" / "report").iterdir()}
    assert names == {"cases.csv", "summary.json", "report.html"}


@pytest.mark.usefixtures("blank_figures")
def test_predictions_are_named_after_their_folder(folders, tmp_path):
    done = run(folders, "-o", tmp_path, "--patient", "^(p)")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert re.findall(r"\d+", lines[lines.index("Dice") - 1]) == ["2", "1"]  # volumes, patients
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["methods"]) == ["multi"]


@pytest.mark.parametrize(
    ("labels", "output", "more", "sentence"),
    [
        ("labels", "report", ["--compare", "no name"], "--compare takes NAME=PREDICTIONS"),
        ("labels", "report", ["--compare", "no folder="], "--compare takes NAME=PREDICTIONS"),
        (
            *("labels", "report", ["--compare", "multi=vanilla"]),
            DUPLICATE_METHOD.format(name="multi"),
        ),
        (
            *("labels", "report", ["--compare", "again={multi}"]),
            SAME_PREDICTIONS.format(first="multi", second="again"),
        ),
        (
            *("labels", "report", ["--images", "nowhere"]),
            NOT_A_FOLDER.format(folder="nowhere", contents="images"),
        ),
        ("labels", "report", ["--compare", "other=nowhere"], "nowhere is "),
        ("labels", "file/report", [], "{output} "),
        ("multi", "report", [], "{multi}/p1_frame01.nii.gz would be compared with itself"),
    ],
)
def test_refusal_is_one_line_and_writes_nothing(folders, tmp_path, labels, output, more, sentence):
    (tmp_path / "file").touch()
    more = [text.format(multi=folders / "multi") for text in more]
    done = run(folders, "-o", tmp_path / output, *more, labels=labels)
    assert done.exit_code == 1
    sentence = sentence.replace("{output}", str(tmp_path / "file"))
    assert done.stderr.startswith(f"Error: {sentence.replace('{multi}', str(folders / 'multi'))}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()
