"""``bayes-nnunet evaluate-queue`` in real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..app.evaluation.test_queue import doubtful, reference, write, write_reference
from ..helpers.command import bayes_nnunet


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of studies and labels of two patients."""
    for case, place in (("p1_frame01", 4), ("p2_frame01", 2)):
        write(tmp_path / "my studies", case, {None: doubtful(place)})
        write_reference(tmp_path / "labels" / f"{case}.nii.gz", reference(place))
    return tmp_path / "my studies", tmp_path / "labels"


def test_table_picture_and_summary(folders, tmp_path):
    done = bayes_nnunet("evaluate-queue", *folders, "-o", tmp_path / "docs" / "queue.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("2 studies of 2 patients, 12 slices, 32 wrong voxels")
    assert {file.name for file in (tmp_path / "docs").iterdir()} == {"queue.csv", "queue.png"}


def test_the_patient_may_be_named_otherwise(folders, tmp_path):
    done = bayes_nnunet("evaluate-queue", *folders, "-o", tmp_path / "queue", "--patient", "^(p).*")
    assert "of 1 patient," in done.stdout, done.stderr


def test_a_failure_is_one_sentence(folders, tmp_path):
    studies, _ = folders
    done = bayes_nnunet("evaluate-queue", studies, tmp_path / "nowhere", "-o", tmp_path / "queue")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("queue*"))
