"""Types of options and arguments that several commands share."""

import os

import click
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.cli.options import DELETED_FOLDER, GivenPath
from napari_bayes_nnunet.io.files.special import SPECIAL_FILE

PATHS = [
    pytest.param(command, parameter, id=f"{name} {parameter.name}")
    for name, command in main.commands.items()
    for parameter in command.params
    if isinstance(parameter.type, click.Path)
]


@pytest.mark.parametrize(("command", "parameter"), PATHS)
def test_every_path_refuses_an_empty_text(command, parameter):
    assert isinstance(parameter.type, GivenPath)
    context = click.Context(command)
    given: str | tuple[str, ...] = ("a", " ") if parameter.nargs == -1 else ""
    with pytest.raises(click.BadParameter):
        parameter.type_cast_value(context, given)


def test_every_path_refuses_a_device():
    for words in (["inspect", os.devnull], ["evaluate", "a", "b", "-o", os.devnull]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2
        assert SPECIAL_FILE.format(path=os.devnull) in " ".join(done.output.split())


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "loop"],
        ["inspect", "~nobody-has-this-name/run"],
        ["predict", "loop", "image.nii.gz", "-o", "out"],
        ["calibrate", "loop", "dataset"],
        ["evaluate", ".", "loop", "-o", "out"],
        ["evaluate", ".", "labels", "-o", "loop/report"],
        ["evaluate-queue", ".", "labels", "-o", "loop/report"],
    ],
    ids=" ".join,
)
def test_links_in_loop_and_unknown_homes_are_refused(words, tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_deleted_current_folder_is_refused(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = CliRunner().invoke(main, ["export-dicom", "study", "images", "-o", "out"])
    assert done.exit_code == 1
    assert done.stderr == f"Error: {DELETED_FOLDER}\n"


@pytest.mark.parametrize(
    ("group", "command"), [((), "calibrate"), (("archive",), "watch"), (("profile",), "learn")]
)
def test_list_of_commands_is_not_cut_off(group, command):
    help = CliRunner().invoke(main, [*group, "--help"], terminal_width=80).stdout
    listed = help.partition("Commands:")[2]
    assert command in listed
    assert "..." not in listed


def test_help_of_a_training_is_grouped():
    lines = CliRunner().invoke(main, ["train", "--help"]).stdout.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options:", "Training:", "Learning rate:", "Members:"]
    options = [line.split()[0] for line in lines if line.startswith("  --")][1:]
    assert len(options) == len(set(options))
    assert options.index("--gamma") > options.index("--batch-size")
