"""Tests of statements in the words of the window."""

from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.training.process import command_arguments
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.problems import Action, Setting, change, statement
from napari_bayes_nnunet.widgets.common.wording import WINDOW_PHRASES, field_name, in_the_window


@pytest.mark.parametrize("action", Action)
def test_a_phrase_names_no_option(action: Action) -> None:
    assert "--" not in WINDOW_PHRASES[action]


def test_a_setting_is_called_as_its_field() -> None:
    told = statement(
        "{setting} was 8.",
        change("batch_size", 4),
        setting=Setting("batch_size"),
    )
    sentence, advice = in_the_window(told).split(". ")
    assert sentence == "Batch size was 8"
    assert advice == "Set “Batch size” to 4."


def test_errors_and_plain_sentences_are_shown_unchanged() -> None:
    assert in_the_window("Nothing of the kind.") == "Nothing of the kind."
    assert in_the_window(AppError("{odd} is damaged.")) == "{odd} is damaged."


def test_setting_of_schedule_has_label_of_its_field() -> None:
    for name, label in {
        "members_per_cycle": "Members",
        "restart_first_cycle": "Restart in the first cycle",
        "augmentation": "Augment",
    }.items():
        assert field_name(Setting(name)) == label


def test_every_training_setting_has_a_plain_name() -> None:
    request = TrainingRequest(
        dataset=Path("data"), output=Path("run"), configuration="2d", preset="demo", batch_size=4,
        iterations_per_epoch=5, seed=7, dropout=0.1, keep_trajectory=True, licence="CC0",
        schedule=RestartSchedule(), selection=MemberSelection(),
    )  # fmt: skip
    options = {
        word for word in command_arguments(request) if word.startswith("--") and word != "--"
    }
    assert len(options) == 20
    for name in options:
        words = field_name(Setting(name.removeprefix("--").replace("-", "_")))
        assert words
        assert not {"-", "_"} & set(words)
