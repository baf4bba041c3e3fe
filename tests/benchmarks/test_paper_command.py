"""Arguments and exit codes of the commands that repeat the paper's experiment."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.paper import __main__ as paper
from benchmarks.paper import archive as paper_archive
from benchmarks.paper.rows import rows
from benchmarks.paper.tables import read_tables
from benchmarks.paper.trainings import PRESETS

from ..helpers.data.archives import unpack

pytestmark = pytest.mark.usefixtures("few_resamples")
HELD_BACK = ["patient003_frame01", "patient003_frame02"]
Command = Callable[..., int]


@pytest.fixture
def command(hearts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs the command in this process and returns its exit code."""
    split = tmp_path / "splits.json"
    train = ["patient001_frame01", "patient001_frame02"]
    split.write_text(json.dumps([{"train": train, "val": HELD_BACK}]))

    def run(*options: object, raises: bool = False) -> int:
        arguments = [hearts, tmp_path / "output", "--split", split, *options]
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            paper.main()
        except SystemExit as end:
            if raises:
                raise
            return 0 if end.code is None else end.code if isinstance(end.code, int) else 1
        return 0

    return run


@pytest.mark.parametrize(
    "options",
    [
        ("--sunnybrook", "missing"),
        ("--mnms", "missing"),
        ("--split", "missing"),
        ("--report", __file__),
        ("--workers", "-1"),
        ("--workers", "0"),
        ("--workers", "two"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_named(options, command, tmp_path, capsys) -> None:
    assert command(*options) == 2
    option, value = options
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {option}: " in error
    assert value in error
    assert not (tmp_path / "output").exists()


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
    assert command("--only", "train", "--split", split) == 1
    split.write_text("[")
    assert command("--only", "train", "--split", split) == 1
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


def archiving(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str | int | None:
    """Return the exit code of the command that writes archives, or its last words."""
    monkeypatch.setattr(sys, "argv", ["archive", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        paper_archive.main()
    return end.value.code


@pytest.mark.usefixtures("blank_figures")
def test_unpacked_archives_are_the_same_experiment(command, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paper, "train_all", lambda *places, preset, devices: [])
    output, kept = tmp_path / "output", tmp_path / "kept"
    assert command("--only", "train") == 0
    (output / "modes").mkdir()
    (output / "modes" / "restarts-seed1.json").write_text("[15.0, 0.9, 14.6, 0.88]")
    every = len(rows(PRESETS["cpu"]))
    assert archiving(monkeypatch, output, kept).startswith(f"{every} of {every} rows lack results")
    shutil.rmtree(output)
    (output / "trainings").mkdir(parents=True)
    assert command("--only", "report") == 1  # trainings of an unknown experiment
    assert "no experiment" in archiving(monkeypatch, output, kept)
    (archive,) = kept.iterdir()
    unpack(archive, output)
    assert "another preset" in archiving(monkeypatch, output, kept, "--preset", "paper")
    assert command("--only", "report") == 0
    assert "| 15 | 0.9 | 14.6 | 0.88 |" in read_tables(output / "report")
