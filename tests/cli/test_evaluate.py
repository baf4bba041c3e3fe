"""``bayes-nnunet evaluate`` in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.evaluation.evaluate import (
    NOT_A_FOLDER,
    SAME_AS_LABELS,
    SAME_PREDICTIONS,
)

from ..helpers.command import bayes_nnunet
from ..helpers.evaluations import answer, heart, name_labels, write_answer, write_reference


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    return bayes_nnunet("evaluate", folders / "multi", folders / labels, *more)


def test_report_table_and_progress(folders, tmp_path):
    both = ("--name", "Multi (n = 3)", "--compare", f"T = 1.5={folders / 'vanilla'}")
    done = run(folders, "-o", tmp_path / "new" / "report", *both)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "2 volumes of 2 patients"
    assert lines[1:3] == ["Dice", " " * 15 + "RV            MYO           LV            Mean"]
    assert lines[3].startswith("Multi (n = 3)  0.")
    assert lines[4].startswith("T = 1.5        0.")
    assert lines[-1] == f"Report: {tmp_path / 'new' / 'report' / 'report.html'}"
    names = {file.name for file in (tmp_path / "new" / "report").iterdir()}
    assert names == {"cases.csv", "summary.json", "report.html"}


def test_predictions_are_called_like_their_folder(folders, tmp_path):
    done = run(folders, "-o", tmp_path, "--patient", "^(p)")
    assert done.stdout.startswith("2 volumes of 1 patient"), done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["methods"]) == ["multi"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--compare", "no name"], "--compare takes NAME=PREDICTIONS"),
        (["--compare", "no folder="], "--compare takes NAME=PREDICTIONS"),
        (["--compare", "multi=vanilla"], "Two methods are called multi"),
        (
            ["--compare", "again={multi}"],
            SAME_PREDICTIONS.format(first="multi", second="again"),
        ),
        (["--images", "nowhere"], NOT_A_FOLDER.format(folder="nowhere", contents="images")),
        (["--compare", "other=nowhere"], "nowhere is "),
    ],
)
def test_a_failure_is_one_sentence(folders, tmp_path, more, sentence):
    more = [text.format(multi=folders / "multi") for text in more]
    done = run(folders, "-o", tmp_path / "report", *more)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {sentence}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(folders, tmp_path):
    (tmp_path / "file").write_text("")
    done = run(folders, "-o", tmp_path / "file" / "report")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {tmp_path / 'file'} ")
    assert done.stderr.count("\n") == 1
    assert "--output" in done.stderr


def test_a_prediction_is_never_its_own_reference(folders, tmp_path):
    done = run(folders, "-o", tmp_path / "report", labels="multi")
    assert done.returncode == 1
    assert done.stderr == f"Error: {SAME_AS_LABELS.format(method='multi')}\n"
