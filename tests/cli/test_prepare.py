"""Tests of ``bayes-nnunet prepare``, the first one in a real process."""

import re

import pytest
from click.testing import CliRunner, Result

from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.dataset.writer import FOLDER_NOT_EMPTY

from ..helpers.data.releases import make_acdc, make_mnms
from ..helpers.processes.command import bayes_nnunet


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["prepare", *map(str, arguments)])


def test_acdc_is_written_once(tmp_path):
    source = make_acdc(tmp_path / "data base")
    output = tmp_path / "nnUNet_raw" / "Dataset027_ACDC"
    done = bayes_nnunet("prepare", "acdc", source, "-o", output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{output} ")
    numbers = re.findall(r"\d+", done.stdout.removeprefix(str(output)))
    assert numbers[:4] == ["6", "3", "4", "2"]  # cases, patients, training and held-out cases
    assert done.stdout.count("\n") == 1
    assert "WARNING" not in done.stderr
    assert len(read_dataset(output).cases) == 4
    again = run("acdc", source, "-o", output)
    assert again.exit_code == 1
    assert again.stderr.startswith(f"Error: {FOLDER_NOT_EMPTY.format(folder=output)}")
    assert again.stderr.count("\n") == 1


def test_mnms_names_unlabelled_patients(tmp_path):
    source = make_mnms(tmp_path / "OpenDataset")
    done = run("mnms", source, "-o", tmp_path / "d")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert "vendor: A 4, B 2, D 2; centre: 1 4, 2 2, 5 2" in first
    assert second.startswith("1 patient of Training/Unlabeled ")
    assert "C2U4V1" in second


@pytest.mark.parametrize("release", ["acdc", "mnms"])
def test_refusal_is_one_line_and_writes_nothing(tmp_path, release):
    (tmp_path / "other").mkdir()
    done = run(release, tmp_path / "other", "-o", tmp_path / "d")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert str(tmp_path / "other") in done.stderr
    assert "nothing" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()
