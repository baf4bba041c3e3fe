"""``bayes-nnunet prepare`` in real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset

from ..helpers.command import bayes_nnunet
from ..helpers.releases import make_acdc, make_mnms


def test_acdc_twice(tmp_path: Path) -> None:
    source = make_acdc(tmp_path / "data base")
    output = tmp_path / "nnUNet_raw" / "Dataset027_ACDC"
    done = bayes_nnunet("prepare", "acdc", source, "-o", output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{output} has 6 cases of 3 patients, 4 to train on and 2 held")
    assert done.stdout.count("\n") == 1
    assert "WARNING" not in done.stderr
    assert len(read_dataset(output).cases) == 4
    again = bayes_nnunet("prepare", "acdc", source, "-o", output)
    assert again.returncode == 1
    assert again.stderr.startswith(f"Error: {output} is not empty")
    assert again.stderr.count("\n") == 1
    assert bayes_nnunet("prepare", "acdc", source, "-o", output, "--overwrite").returncode == 0


def test_mnms_says_what_was_left_out(tmp_path: Path) -> None:
    source = make_mnms(tmp_path / "OpenDataset")
    done = bayes_nnunet("prepare", "mnms", source, "-o", tmp_path / "d")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "vendor: A 4, B 2, D 2; centre: 1 4, 2 2, 5 2" in first
    assert second.startswith("1 patient of Training/Unlabeled has no labels")


@pytest.mark.parametrize("release", ["acdc", "mnms"])
def test_a_failure_is_one_sentence(tmp_path: Path, release: str) -> None:
    (tmp_path / "other").mkdir()
    done = bayes_nnunet("prepare", release, tmp_path / "other", "-o", tmp_path / "d")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "found nothing" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()
