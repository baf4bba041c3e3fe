"""Tests of ``bayes-nnunet evaluate-queue``, the first one in a real process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from napari_bayes_nnunet.cli import main

from ..app.evaluation.test_queue import doubtful, reference, write, write_reference
from ..helpers.processes.command import bayes_nnunet


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of studies and labels of two patients."""
    for case, place in (("p1_frame01", 4), ("p2_frame01", 2)):
        write(tmp_path / "my studies", case, {None: doubtful(place)})
        write_reference(tmp_path / "labels" / f"{case}.nii.gz", reference(place))
    return tmp_path / "my studies", tmp_path / "labels"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate-queue", *map(str, arguments)])


def test_queue_evaluation_writes_table_and_picture(folders, tmp_path):
    done = bayes_nnunet("evaluate-queue", *folders, "-o", tmp_path / "docs" / "queue.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    studies, patients, slices, wrong, *_ = map(int, re.findall(r"\d+", done.stdout))
    assert (studies, patients, slices, wrong) == (2, 2, 12, 32)
    assert {file.name for file in (tmp_path / "docs").iterdir()} == {"queue.csv", "queue.png"}


def test_patient_pattern_merges_cases(folders, tmp_path):
    done = run(*folders, "-o", tmp_path / "queue", "--patient", "^(p).*")
    assert done.exit_code == 0, done.output
    assert re.findall(r"\d+", done.stdout)[:2] == ["2", "1"]  # studies, patients


def test_refusal_is_one_line_and_writes_nothing(folders, tmp_path):
    studies, _ = folders
    done = run(studies, tmp_path / "nowhere", "-o", tmp_path / "queue")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("queue*"))
