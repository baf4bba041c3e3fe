"""Arguments and exit codes of the commands that repeat the paper's experiment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.command_line import run as run_command
from benchmarks.paper import __main__ as paper

from napari_bayes_nnunet.io import DataError

from ..helpers.data.paper_tables import report_text

pytestmark = pytest.mark.usefixtures("few_resamples")
HELD_BACK = ["patient003_frame01", "patient003_frame02"]
Command = Callable[..., int]


@pytest.fixture
def command(hearts: Path, tmp_path: Path) -> Command:
    """Return a function that runs the command in this process and returns its exit code."""
    split = tmp_path / "splits.json"
    train = ["patient001_frame01", "patient001_frame02"]
    split.write_text(json.dumps([{"train": train, "val": HELD_BACK}]))

    def run(*options: object, raises: bool = False) -> int:
        arguments = [hearts, tmp_path / "output", "--split", split, *options]
        try:
            run_command(None, paper.main, words=[*map(str, arguments)])
        except SystemExit as end:
            if raises:
                raise
            return 0 if end.code is None else end.code if isinstance(end.code, int) else 1
        return 0

    return run


def test_missing_cases_are_named_before_anything_starts(command, tmp_path, capsys) -> None:
    images = tmp_path / "scanner" / "images"
    images.mkdir(parents=True)
    (images / ".DS_Store_0000.nii.gz").touch()
    assert command("--only", "train", "--sunnybrook", images.parent) == 1
    (images / "SCD1_ED_0000.nii.gz").touch()
    with pytest.raises(SystemExit, match=r"SCD1_ED\.nii\.gz is missing"):
        command("--only", "train", "--sunnybrook", images.parent, raises=True)
    split = tmp_path / "other.json"
    split.write_text(json.dumps([{"train": ["patient001_frame01"], "val": ["another"]}]))
    for text in (split.read_text(), "["):
        split.write_text(text)
        with pytest.raises(DataError):
            command("--only", "train", "--split", split)
    assert command("--only", "report") == 1  # there is nothing to report
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("failed", [[], ["one"]])
def test_exit_code_says_whether_a_training_failed(failed, command, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paper, "train_all", lambda *places, preset, devices: failed)
    assert command("--only", "train") == len(failed)
    assert (tmp_path / "output" / "experiment.json").exists()
    assert command("--only", "train", "--preset", "paper") == 1  # another experiment
    monkeypatch.setattr(paper, "write_report", lambda *args, **options: None)
    assert command() == len(failed)  # the rest is evaluated all the same


@pytest.mark.usefixtures("blank_figures")
def test_kept_results_are_the_same_experiment(command, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paper, "train_all", lambda *places, preset, devices: [])
    output, kept = tmp_path / "output", tmp_path / "kept"
    assert command("--only", "train") == 0
    (output / "modes").mkdir()
    (output / "modes" / "restarts-seed1.json").write_text("[15.0, 0.9, 14.6, 0.88]")
    output.rename(kept)
    (output / "trainings").mkdir(parents=True)
    assert command("--only", "train") == 1  # trainings of an unknown experiment
    shutil.copytree(kept, output, dirs_exist_ok=True)
    assert command("--only", "report") == 0
    assert "| 15 | 0.9 | 14.6 | 0.88 |" in report_text(output / "report")
