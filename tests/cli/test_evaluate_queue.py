"""Tests of ``evaluate-queue`` and ``evaluate-reader``, the first one in a real process."""

import re

import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.cli import main

from ..helpers.processes.command import bayes_nnunet
from ..paper.review.test_queue import doubtful, reference, write, write_reference


@pytest.fixture
def folders(tmp_path):
    """Return the folders of studies and labels of two patients."""
    for case, place in (("p1_frame01", 4), ("p2_frame01", 2)):
        write(tmp_path / "my studies", case, {None: doubtful(place)})
        write_reference(tmp_path / "labels" / f"{case}.nii.gz", reference(place))
    return tmp_path / "my studies", tmp_path / "labels"


def test_queue_evaluation_writes_table_and_picture(folders, tmp_path):
    done = bayes_nnunet("evaluate-queue", *folders, "-o", tmp_path / "docs" / "queue.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    studies, patients, slices, wrong, *_ = map(int, re.findall(r"\d+", done.stdout))
    assert (studies, patients, slices, wrong) == (2, 2, 12, 32)
    assert {file.name for file in (tmp_path / "docs").iterdir()} == {"queue.csv", "queue.png"}


def run(command, *arguments):
    return CliRunner().invoke(main, [command, *map(str, arguments)])


def test_simulated_review_writes_tables_and_picture(folders, tmp_path):
    done = run("evaluate-reader", *folders, "-o", tmp_path / "docs" / "reader")
    assert done.exit_code == 0, done.output
    assert list(map(int, re.findall(r"\d+", done.stdout)))[:3] == [2, 2, 12]
    names = {file.name for file in (tmp_path / "docs").iterdir()}
    assert names == {
        *(
            "reader.csv",
            "reader_tools.csv",
            "reader_stop.csv",
            "reader_intervals.csv",
            "reader.png",
        ),
    }


def test_patient_pattern_merges_cases(folders, tmp_path):
    done = run("evaluate-queue", *folders, "-o", tmp_path / "queue", "--patient", "^(p).*")
    assert done.exit_code == 0, done.output
    assert re.findall(r"\d+", done.stdout)[:2] == ["2", "1"]  # studies, patients


@pytest.mark.parametrize("command", ["evaluate-queue", "evaluate-reader"])
def test_refusal_is_one_line_and_writes_nothing(command, folders, tmp_path):
    studies, labels = folders
    (tmp_path / "result.csv").write_text("mine", encoding="utf-8")
    for given in (tmp_path / "nowhere", labels):  # the table of the user is not replaced
        done = run(command, studies, given, "-o", tmp_path / "result")
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.glob("result*")] == ["result.csv"]
    assert (tmp_path / "result.csv").read_text(encoding="utf-8") == "mine"
