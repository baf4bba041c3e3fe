"""Sentences of the command line in the window."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import napari_bayes_nnunet
from napari_bayes_nnunet.app.training.process import arguments
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.widgets.common.cli_wording import in_the_window

PACKAGE = Path(napari_bayes_nnunet.__file__).parent


@pytest.mark.parametrize(
    ("terminal", "window"),
    [
        (
            "Stopped. Go on with: bayes-nnunet train 'a b' --output run --fold 0 --resume",
            "Stopped. Resume goes on from there.",
        ),
        (
            "The memory of the device (cuda) did not suffice for the batch size 20: start again "
            "with --batch-size 10.",
            "The memory of the device (cuda) did not suffice for the batch size 20: start again "
            "with the batch size 10.",
        ),
        (
            "run was started with --epochs 12, not 60: leave this out to go on as it was started, "
            "or choose another --output.",
            "run was started with Epochs 12, not 60: take the same to go on, or choose another "
            "folder for the ensemble.",
        ),
        (
            "run holds no training to go on with: start one, without --resume and --add-cycle.",
            "run holds no training to go on with: start one as a new training.",
        ),
        (
            "a.json in out was made otherwise: use --overwrite, or another output folder.",
            "a.json in out was made otherwise: choose another folder for the results.",
        ),
        ("Choose another --output.", "Choose another folder for the ensemble."),
        ("Nothing of the kind.", "Nothing of the kind."),
    ],
)
def test_flags_become_fields_and_buttons(terminal: str, window: str) -> None:
    assert in_the_window(terminal) == window


@pytest.mark.parametrize(
    "file",
    [
        "app/added_cycle.py",
        "app/training_job.py",
        "app/training_request.py",
        "io/nnunet_dataset.py",
        "nnunet/trainer.py",
    ],
)
def test_no_flag_of_a_sentence_is_forgotten(file: str) -> None:
    """Whatever flag a sentence names, the window has a word for it."""
    text = (PACKAGE / file).read_text(encoding="utf-8")
    flags = set(re.findall(r'--[a-z][a-z-]+(?=[^"\n]*[ .,:"])', text))
    assert flags
    arguments = {"--output", "--fold", "--device"}  # of the command that a stopped one names
    for flag in flags - arguments:
        assert "--" not in in_the_window(f"with {flag} 8"), flag


def test_whatever_a_run_was_started_with_has_a_word() -> None:
    request = TrainingRequest(
        dataset=Path("data"), output=Path("run"), configuration="2d", preset="demo", batch_size=4,
        iterations_per_epoch=5, seed=7, dropout=0.1, keep_trajectory=True, licence="CC0",
        schedule=RestartSchedule(), selection=MemberSelection(),
    )  # fmt: skip
    flags = {word for word in arguments(request) if word.startswith("--") and word != "--"}
    assert len(flags) == 20
    for flag in flags - {"--output"}:
        assert "--" not in in_the_window(f"run was started with {flag} 1, not 2"), flag
